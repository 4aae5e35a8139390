import type { StatusEntry } from '../../controller/inspect.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import type { Invocation } from '../invocation.ts';
import { inquire, tellSource } from '../session.ts';
import { counted, jsonText, paintFor, tableText, type Paint, type Style } from '../terminal.ts';
import { announcementsIn, holderTable, tellAnnouncementSource } from './announcement-text.ts';
import { findAnnouncements, type Question } from './announcements.ts';
import { isList } from './answers.ts';
import type { Announcement } from '../../provider/announcements.ts';

/** `berth status`: one line for each Service that Berth serves, and one for each address that a node announces. */
export async function statusCommand(invocation: Invocation): Promise<ExitCode> {
  const { source, value: services } = await inquire(invocation, {
    question: 'status',
    accepts: isList<StatusEntry>,
    look: ({ controller }) => controller.inspect.status(),
  });
  const { out } = invocation.terminal;
  const found = await findAnnouncements(invocation, questionsAbout(services));
  tellSource(invocation, source);
  tellAnnouncementSource(invocation, found);
  if (invocation.json)
    out.write(jsonText({ source, counts: countStatus(services), services, announcements: found }));
  else out.write(statusText(services, paintFor(invocation.terminal), announcementsIn(found)));
  return EXIT.ok;
}

/** The Services whose addresses somebody announces, by provider. */
function questionsAbout(services: readonly StatusEntry[]): readonly Question[] {
  const addressed = services.filter(({ announced, addresses }) => announced && addresses.length > 0);
  const byProvider = Map.groupBy(addressed, ({ provider }) => provider);
  return [...byProvider].map(([provider, those]) => ({ provider, services: those.map(({ key }) => key) }));
}

/** How many Services are in which state. */
export function countStatus(services: readonly StatusEntry[]): {
  readonly provisioned: number;
  readonly failed: number;
  readonly pending: number;
  /** Frozen by their annotation. */
  readonly paused: number;
} {
  const count = (word: string): number => services.filter((service) => wordFor(service)[1] === word).length;
  return {
    provisioned: count('provisioned'),
    failed: count('failed'),
    pending: count('pending'),
    paused: count('paused'),
  };
}

const STATES: Readonly<Record<StatusEntry['state'], readonly [Style, string]>> = {
  True: ['good', 'provisioned'],
  False: ['bad', 'failed'],
  Unknown: ['warn', 'pending'],
};

function wordFor({ state, reason }: StatusEntry): readonly [Style, string] {
  return reason === 'Paused' ? ['dim', 'paused'] : STATES[state];
}

/** The table of Services, who announces their addresses, what is wrong with those that are not provisioned, and a line of counts. */
export function statusText(
  services: readonly StatusEntry[],
  paint: Paint,
  announcements: readonly Announcement[] = [],
): string {
  const rows = services.map((service) => [
    service.key,
    service.provider,
    service.addresses.join(',') || '<none>',
    service.ports.join(','),
    paint(...wordFor(service)),
    service.reason,
  ]);
  const troubles = services
    .filter(({ state }) => state !== 'True')
    .map(({ key, reason, message }) => `${key}: ${reason}: ${message}\n`);
  const { provisioned, failed, pending, paused } = countStatus(services);
  const frozen = paused === 0 ? '' : `, ${paused} paused`;
  const parts = [
    rows.length === 0 ? '' : tableText(['SERVICE', 'PROVIDER', 'ADDRESS', 'PORTS', 'STATE', 'REASON'], rows),
    announcements.length === 0 ? '' : holderTable(announcements, paint),
    troubles.join(''),
    `Status: ${counted(services.length, 'Service')}, ${provisioned} provisioned, ${failed} failed, ${pending} pending${frozen}\n`,
  ];
  return parts.filter((part) => part !== '').join('\n');
}
