import type { StatusEntry } from '../../controller/inspect.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { inquire, tellSource, type Invocation } from '../session.ts';
import { counted, jsonText, paintFor, tableText, type Paint, type Style } from '../terminal.ts';
import { isList } from './answers.ts';

/** `berth status`: one line for each Service that Berth serves. */
export async function statusCommand(invocation: Invocation): Promise<ExitCode> {
  const { source, value: services } = await inquire(invocation, {
    question: 'status',
    accepts: isList<StatusEntry>,
    look: ({ controller }) => controller.inspect.status(),
  });
  const { out } = invocation.terminal;
  tellSource(invocation, source);
  if (invocation.json) out.write(jsonText({ source, counts: countStatus(services), services }));
  else out.write(statusText(services, paintFor(invocation.terminal)));
  return EXIT.ok;
}

/** How many Services are in which state. */
export function countStatus(services: readonly StatusEntry[]): {
  readonly provisioned: number;
  readonly failed: number;
  readonly pending: number;
} {
  const count = (state: StatusEntry['state']): number =>
    services.filter((service) => service.state === state).length;
  return { provisioned: count('True'), failed: count('False'), pending: count('Unknown') };
}

const STATES: Readonly<Record<StatusEntry['state'], readonly [Style, string]>> = {
  True: ['good', 'provisioned'],
  False: ['bad', 'failed'],
  Unknown: ['warn', 'pending'],
};

/** The table of Services, what is wrong with those that are not provisioned, and a line of counts. */
export function statusText(services: readonly StatusEntry[], paint: Paint): string {
  const rows = services.map(({ key, provider, addresses, ports, state, reason }) => [
    key,
    provider,
    addresses.join(',') || '<none>',
    ports.join(','),
    paint(...STATES[state]),
    reason,
  ]);
  const troubles = services
    .filter(({ state }) => state !== 'True')
    .map(({ key, reason, message }) => `${key}: ${reason}: ${message}\n`);
  const { provisioned, failed, pending } = countStatus(services);
  const parts = [
    rows.length === 0 ? '' : tableText(['SERVICE', 'PROVIDER', 'ADDRESS', 'PORTS', 'STATE', 'REASON'], rows),
    troubles.join(''),
    `Status: ${counted(services.length, 'Service')}, ${provisioned} provisioned, ${failed} failed, ${pending} pending\n`,
  ];
  return parts.filter((part) => part !== '').join('\n');
}
