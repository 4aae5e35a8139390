import { deleteOrphans, sweepOnce, type OrphanOutcome } from '../../controller/sweep-once.ts';
import { ORPHAN_GRACE_MS, type Orphan, type SweepReport } from '../../controller/sweep.ts';
import { stepText } from '../../plan/step.ts';
import { systemClock } from '../../provider/clock.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { withProgress } from '../progress.ts';
import type { Invocation } from '../invocation.ts';
import { inquire, tellSource, tellUnseen, withLeadership, withLook } from '../session.ts';
import { counted, jsonText, paintFor, tableText, type Paint } from '../terminal.ts';
import { isList } from './answers.ts';

/** Between the two observations that a deletion needs, in milliseconds. */
const BETWEEN_OBSERVATIONS_MS = 5_000;

/** `berth sweep`: reports, or with `--delete` removes what belongs to no Service. */
export function sweepCommand(
  invocation: Invocation,
  flags: { readonly delete?: boolean },
): Promise<ExitCode> {
  return flags.delete === true ? removeOrphans(invocation) : report(invocation);
}

/** What differs from what was made, and what is ours and belongs to no Service. Changes nothing. */
async function report(invocation: Invocation): Promise<ExitCode> {
  const { source, value: reports } = await inquire(invocation, {
    question: 'sweep',
    accepts: isList<SweepReport>,
    look: async (looked) => (await sweepOnce(looked, invocation.signal)).reports,
  });
  const { out, err } = invocation.terminal;
  tellSource(invocation, source);
  if (invocation.json) out.write(jsonText({ source, reports }));
  else if (source.from === 'leader' && reports.length === 0)
    err.write(
      'It has not swept since it began to lead; --sweep-interval of `berth run` says how often it does.\n',
    );
  else out.write(sweepText(reports, paintFor(invocation.terminal)));
  return reports.some(({ error }) => error !== undefined) ? EXIT.failed : EXIT.ok;
}

/** Deletes orphans, in the place of the leader, which must not be running. */
async function removeOrphans(invocation: Invocation): Promise<ExitCode> {
  const { terminal, json, log } = invocation;
  const outcome = await withLeadership(invocation, ({ connection, acting }) =>
    withLook(invocation, connection, (looked) =>
      withProgress(terminal, 'looking for orphans twice', (say) =>
        deleteOrphans({
          looked,
          acting,
          log,
          clock: systemClock,
          pauseMs: BETWEEN_OBSERVATIONS_MS,
          onDeleting: ({ provider, key, uid }) =>
            say(`deleting the load balancer of ${key} (${provider}, UID ${uid})`),
        }),
      ),
    ),
  );
  tellUnseen(invocation, outcome.unseen);
  terminal.out.write(json ? jsonText(outcome) : outcomeText(outcome));
  return outcome.failed.length > 0 ? EXIT.failed : EXIT.ok;
}

/** What a sweep found as people read it, with a line of counts. */
export function sweepText(reports: readonly SweepReport[], paint: Paint): string {
  const drifted = reports.flatMap(({ provider, drifted }) =>
    drifted.map(({ key, steps }) => [provider, paint('warn', 'drift'), key, steps.map(stepText).join('; ')]),
  );
  const orphans = reports.flatMap(({ orphans }) =>
    orphans.map((orphan) => [orphan.provider, paint('bad', 'orphan'), orphan.key, orphanText(orphan)]),
  );
  const errors = reports.flatMap(({ provider, error }) =>
    error === undefined ? [] : [`${provider} could not be read: ${error}\n`],
  );
  const rows = [...drifted, ...orphans];
  const counts = [
    `${drifted.length} drifted`,
    counted(orphans.length, 'orphan'),
    ...(errors.length === 0 ? [] : [`${counted(errors.length, 'provider')} could not be read`]),
  ];
  const parts = [
    rows.length === 0 ? '' : tableText(['PROVIDER', 'FOUND', 'SERVICE', 'DETAIL'], rows),
    errors.join(''),
    `Sweep: ${counts.join(', ')}\n`,
  ];
  return parts.filter((part) => part !== '').join('\n');
}

function orphanText({ uid, ageMs, ripe }: Orphan): string {
  const age = `${Math.floor(ageMs / 60_000)} min`;
  const hours = ORPHAN_GRACE_MS / 3_600_000;
  const when = ripe ? 'may be deleted' : `may be deleted by a running controller after ${hours} h`;
  return `UID ${uid}, seen for ${age}, ${when}`;
}

function outcomeText({ found, deleted, failed }: OrphanOutcome): string {
  const failures = failed.map(({ orphan, message }) => `${orphan.key} could not be deleted: ${message}\n`);
  const counts = `${counted(found.length, 'orphan')}, ${deleted.length} deleted, ${failed.length} failed`;
  return `${failures.join('')}Sweep: ${counts}\n`;
}
