import type { Announcement } from '../../provider/announcements.ts';
import type { Invocation } from '../invocation.ts';
import { tableText, type Paint } from '../terminal.ts';
import type { FoundAnnouncements } from './announcements.ts';

/** The announcements among what was found out. */
export function announcementsIn(found: readonly FoundAnnouncements[]): readonly Announcement[] {
  return found.flatMap((one) => ('announcements' in one ? one.announcements : []));
}

/** Says on standard error where the announcements were read, or why they were not. */
export function tellAnnouncementSource(
  { terminal: { err } }: Invocation,
  found: readonly FoundAnnouncements[],
): void {
  for (const one of found) {
    if ('problem' in one) {
      err.write(`Who announces the addresses of ${one.provider} is not known: ${one.problem}.\n`);
    } else if (one.announcements.length > 0) {
      err.write(`Who announces the addresses of ${one.provider} was told by ${one.told}.\n`);
    }
  }
}

/** One line for each address or group of addresses: who holds it, since when and why. */
export function holderTable(announcements: readonly Announcement[], paint: Paint): string {
  return tableText(
    ['ADDRESS', 'HOLDER', 'INTERFACES', 'SINCE', 'BECAUSE'],
    announcements.map(({ addresses, holder, interfaces, since, because }) => [
      addresses.join(','),
      holder ?? paint('bad', '<nobody>'),
      holder === undefined ? '<none>' : (interfaces?.join(',') ?? 'all'),
      since?.replace(/\.\d+Z$/, 'Z') ?? '<unknown>',
      because === '' ? '<unknown>' : because,
    ]),
  );
}

/** Every node: whether it answers for the address, and why or why not. */
export function announcingNodesTable({ nodes }: Announcement, paint: Paint): string {
  return tableText(
    ['NODE', 'ANNOUNCES', 'REASON', 'BECAUSE'],
    nodes.map(({ node, holder, reason, message }) => [
      node,
      holder ? paint('good', 'yes') : 'no',
      reason,
      message,
    ]),
  );
}
