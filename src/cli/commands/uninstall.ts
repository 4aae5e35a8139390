import { leaderNow } from '../../controller/as-leader.ts';
import {
  claimed,
  deleteEverything,
  deletionPlan,
  release,
  type Failure,
} from '../../controller/uninstall.ts';
import { unseen } from '../../controller/unseen.ts';
import { listServices } from '../../kube/index.ts';
import { asBerthError } from '../../model/errors.ts';
import { keyOf, type Service } from '../../model/service.ts';
import { systemClock } from '../../provider/clock.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { withProgress } from '../progress.ts';
import { withConnection, type Invocation } from '../invocation.ts';
import { tellUnseen, withLeadership, withLook, type LeadingPlace } from '../session.ts';
import { counted, jsonText, paintFor } from '../terminal.ts';
import { planText } from './plan.ts';

/** What `uninstall` is told. */
export interface UninstallFlags {
  /** Deletes the load balancers as well. */
  readonly delete?: boolean;
  /** Only prints what would be done. */
  readonly dryRun?: boolean;
}

/**
 * `berth uninstall`: takes finalizer and condition from all Services, so that Berth can be removed without Services
 * that can no longer be deleted. The load balancers stay, unless `--delete`.
 */
export function uninstallCommand(invocation: Invocation, flags: UninstallFlags): Promise<ExitCode> {
  return flags.dryRun === true ? dryRun(invocation, flags) : act(invocation, flags);
}

function dryRun(invocation: Invocation, flags: UninstallFlags): Promise<ExitCode> {
  const { terminal, signal, settings, json } = invocation;
  const { out, err } = terminal;
  return withConnection(invocation, async (connection, client) => {
    const leader = await leaderNow({ client, election: settings.election, signal });
    const services = claimed(await listServices({ client, signal })).map(keyOf);
    const plan = flags.delete ? await withLook(invocation, connection, deletionPlan) : [];
    if (leader !== undefined)
      err.write(`${leader} holds the Lease: stop it before you run this in earnest.\n`);
    if (json) out.write(jsonText({ dryRun: true, release: services, plan }));
    else {
      if (flags.delete) out.write(`${planText(plan, paintFor(terminal))}\n`);
      for (const key of services) out.write(`would release ${key}\n`);
      const count = counted(services.length, 'Service');
      out.write(`Uninstall: ${count} to release (dry run, nothing was changed)\n`);
    }
    return EXIT.ok;
  });
}

async function act(invocation: Invocation, flags: UninstallFlags): Promise<ExitCode> {
  const { out, err } = invocation.terminal;
  const { released, failures } = await withLeadership(invocation, async (place) => {
    const undeleted = flags.delete ? await deleteAll(invocation, place) : [];
    return await releaseAll(invocation, place, { undeleted, emptied: flags.delete === true });
  });
  for (const { key, message } of failures) err.write(`${key}: ${message}\n`);
  const counts = `${counted(released.length, 'Service')} released, ${failures.length} failed`;
  const kept = flags.delete ? '' : '; the load balancers stay as they are';
  out.write(invocation.json ? jsonText({ released, failures }) : `Uninstall: ${counts}${kept}\n`);
  return failures.length > 0 ? EXIT.failed : EXIT.ok;
}

function deleteAll(
  invocation: Invocation,
  { connection, acting }: LeadingPlace,
): Promise<readonly Failure[]> {
  const { terminal, log } = invocation;
  return withLook(invocation, connection, (looked) => {
    tellUnseen(invocation, unseen(looked));
    return withProgress(terminal, 'deleting load balancers', (say) =>
      deleteEverything(looked, {
        acting,
        log,
        clock: systemClock,
        onDeleting: (key, provider) => say(`deleting the load balancer of ${key} (${provider})`),
      }),
    );
  });
}

/** Releases Service after Service; one whose load balancer could not be deleted keeps its finalizer. */
async function releaseAll(
  { terminal, json }: Invocation,
  { client, acting }: LeadingPlace,
  { undeleted, emptied }: { readonly undeleted: readonly Failure[]; readonly emptied: boolean },
): Promise<{ readonly released: readonly string[]; readonly failures: readonly Failure[] }> {
  const { signal } = acting;
  const released: string[] = [];
  const failures = [...undeleted];
  const left = new Set(undeleted.map(({ key }) => key));
  const wanted = (service: Service): boolean => !left.has(keyOf(service));
  for (const service of claimed(await listServices({ client, signal })).filter(wanted)) {
    const key = keyOf(service);
    try {
      await release(service, { client, signal, emptied });
      released.push(key);
      if (!json) terminal.out.write(`released ${key}\n`);
    } catch (error) {
      signal.throwIfAborted();
      failures.push({ key, message: asBerthError(error).message });
    }
  }
  return { released, failures };
}
