import type { Explanation } from '../../controller/inspect.ts';
import type { Announcement } from '../../provider/announcements.ts';
import { stepText } from '../../plan/step.ts';
import { UsageError } from '../errors.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import type { Invocation } from '../invocation.ts';
import { inquire, tellSource } from '../session.ts';
import { jsonText, paintFor, tableText, type Paint } from '../terminal.ts';
import {
  announcementsIn,
  announcingNodesTable,
  holderTable,
  tellAnnouncementSource,
} from './announcement-text.ts';
import { findAnnouncements } from './announcements.ts';
import { withoutRemedy } from './answers.ts';

/** `berth explain NAMESPACE/NAME`: why a Service is as it is, and what to do about it. */
export async function explainCommand(
  invocation: Invocation,
  { service, flags }: { readonly service: string; readonly flags: { readonly namespace?: string } },
): Promise<ExitCode> {
  const keyIn = serviceKey(service, flags.namespace);
  const { source, value: explanation } = await inquire(invocation, {
    question: 'explain',
    parameters: (client) => ({ key: keyIn(client.namespace) }),
    accepts: isExplanation,
    look: ({ controller }, client) => controller.inspect.explain(keyIn(client.namespace)),
  });
  const { out } = invocation.terminal;
  const { key, provider, addresses, announced } = explanation;
  const asks = provider !== undefined && announced && addresses.length > 0;
  const questions = asks ? [{ provider, services: [key] }] : [];
  const found = await findAnnouncements(invocation, questions);
  tellSource(invocation, source);
  tellAnnouncementSource(invocation, found);
  if (invocation.json) out.write(jsonText({ source, explanation, announcements: found }));
  else out.write(explanationText(explanation, paintFor(invocation.terminal), announcementsIn(found)));
  return explanation.found ? EXIT.ok : EXIT.failed;
}

/** The Service's key, once the kubeconfig's namespace is known. @throws UsageError */
function serviceKey(service: string, namespace: string | undefined): (current: string) => string {
  const parts = service.split('/');
  const wrong = parts.length > 2 || parts.some((part) => part === '');
  if (wrong || (parts.length === 2 && namespace !== undefined && parts[0] !== namespace)) {
    throw new UsageError([
      `"${service}" does not name one Service. Write NAMESPACE/NAME, or NAME with --namespace NAMESPACE.`,
    ]);
  }
  return (current) => (parts.length === 2 ? service : `${namespace ?? current}/${service}`);
}

function isExplanation(value: unknown): value is Explanation {
  const { key, reason, nodes } = (value ?? {}) as Partial<Explanation>;
  return typeof key === 'string' && typeof reason === 'string' && Array.isArray(nodes);
}

/** The explanation as people read it. */
export function explanationText(
  explanation: Explanation,
  paint: Paint,
  announcements: readonly Announcement[] = [],
): string {
  const { reason, message, remedy, steps, notes, nodes } = explanation;
  const facts: readonly (readonly [string, string])[] = [
    ['Service', explanation.key],
    ['Provider', explanation.provider ?? '<none>'],
    ['Reason', paint(GOOD.has(reason) ? 'good' : 'bad', reason)],
    ['Because', withoutRemedy(message, remedy)],
    ['To do', remedy || 'nothing'],
    ['Addresses', explanation.addresses.join(', ') || '<none>'],
    ['Ports', explanation.ports.join(', ') || '<none>'],
  ];
  const parts = [
    facts.map(([name, value]) => `${`${name}:`.padEnd(12)}${value}\n`).join(''),
    section(
      'Notes:',
      notes.map(({ severity, code, message: text }) => `${severity} ${code}: ${text}`),
    ),
    section('Next steps:', steps.map(stepText)),
    ...(announcements.length > 0
      ? announcements.flatMap((one) => [holderTable([one], paint), announcingNodesTable(one, paint)])
      : [nodes.length === 0 ? '' : nodeTable(nodes, paint)]),
  ];
  return parts.filter((part) => part !== '').join('\n');
}

/** Reasons with which nothing is wrong. */
const GOOD: ReadonlySet<string> = new Set(['Provisioned', 'Ensuring']);

function section(title: string, lines: readonly string[]): string {
  return lines.length === 0 ? '' : `${title}\n${lines.map((line) => `  ${line}\n`).join('')}`;
}

function nodeTable(nodes: Explanation['nodes'], paint: Paint): string {
  return tableText(
    ['NODE', 'TAKES TRAFFIC', 'BECAUSE'],
    nodes.map(({ name, takesTraffic, because }) => [
      name,
      takesTraffic ? paint('good', 'yes') : paint('warn', 'no'),
      because,
    ]),
  );
}
