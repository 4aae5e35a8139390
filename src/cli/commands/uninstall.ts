import { actAsLeader, leaderNow } from '../../controller/as-leader.ts';
import {
  claimed,
  deleteEverything,
  deletionPlan,
  release,
  type Failure,
} from '../../controller/uninstall.ts';
import { listServices, type Connection, type KubeClient } from '../../kube/index.ts';
import { asBerthError } from '../../model/errors.ts';
import { keyOf, type Service } from '../../model/service.ts';
import { systemClock } from '../../provider/clock.ts';
import type { Acting } from '../../controller/as-leader.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { withConnection, withLook, type Invocation } from '../session.ts';
import { counted, jsonText, paintFor } from '../terminal.ts';
import { planText } from './plan.ts';

/** What `uninstall` is told. */
export interface UninstallFlags {
  /** Deletes the load balancers as well. */
  readonly delete: boolean;
  /** Only prints what would be done. */
  readonly dryRun: boolean;
}

/**
 * `berth uninstall`: takes finalizer and condition from all Services, so that Berth can be removed without Services
 * that can no longer be deleted. The load balancers stay, unless `--delete`.
 */
export function uninstallCommand(invocation: Invocation, flags: UninstallFlags): Promise<ExitCode> {
  return withConnection(invocation, (connection, client) =>
    flags.dryRun
      ? dryRun(invocation, { flags, connection, client })
      : act(invocation, { flags, connection, client }),
  );
}

interface Place {
  readonly flags: UninstallFlags;
  readonly connection: Connection;
  readonly client: KubeClient;
}

async function dryRun(invocation: Invocation, { flags, connection, client }: Place): Promise<ExitCode> {
  const { terminal, signal, settings, json } = invocation;
  const { out, err } = terminal;
  const leader = await leaderNow({ client, election: settings.election, signal });
  const services = claimed(await listServices({ client, signal })).map(keyOf);
  const plan = flags.delete ? await withLook(invocation, connection, deletionPlan) : [];
  if (leader !== undefined) err.write(`${leader} holds the Lease: stop it before you run this in earnest.\n`);
  if (json) out.write(jsonText({ dryRun: true, release: services, plan }));
  else {
    if (flags.delete) out.write(`${planText(plan, paintFor(terminal))}\n`);
    for (const key of services) out.write(`would release ${key}\n`);
    out.write(
      `Uninstall: ${counted(services.length, 'Service')} to release (dry run, nothing was changed)\n`,
    );
  }
  return EXIT.ok;
}

async function act(invocation: Invocation, place: Place): Promise<ExitCode> {
  const { terminal, settings, log, signal, json } = invocation;
  const onWait = (holder: string): void =>
    void terminal.err.write(`Waiting for the Lease of ${holder}, which seems to be gone, to run out ...\n`);
  const { client, flags } = place;
  const { released, failures } = await actAsLeader(
    { client, log, election: settings.election, signal, onWait },
    async (acting) => {
      const undeleted = flags.delete ? await deleteAll(invocation, place, acting) : [];
      return await releaseAll(invocation, place, { acting, undeleted });
    },
  );
  const kept = flags.delete ? '' : '; the load balancers stay as they are';
  for (const { key, message } of failures) terminal.err.write(`${key}: ${message}\n`);
  const counts = `${counted(released.length, 'Service')} released, ${failures.length} failed`;
  terminal.out.write(json ? jsonText({ released, failures }) : `Uninstall: ${counts}${kept}\n`);
  return failures.length > 0 ? EXIT.failed : EXIT.ok;
}

function deleteAll(
  invocation: Invocation,
  { connection }: Place,
  acting: Acting,
): Promise<readonly Failure[]> {
  const { terminal, log } = invocation;
  return withLook(invocation, connection, (looked) =>
    deleteEverything(looked, {
      acting,
      log,
      clock: systemClock,
      onDeleting: (key, provider) =>
        void terminal.err.write(`deleting the load balancer of ${key} (${provider})\n`),
    }),
  );
}

/** Releases Service after Service; one whose load balancer could not be deleted keeps its finalizer. */
async function releaseAll(
  { terminal, json }: Invocation,
  { client, flags }: Place,
  { acting, undeleted }: { readonly acting: Acting; readonly undeleted: readonly Failure[] },
): Promise<{ readonly released: readonly string[]; readonly failures: readonly Failure[] }> {
  const { signal } = acting;
  const released: string[] = [];
  const failures = [...undeleted];
  const left = new Set(undeleted.map(({ key }) => key));
  const wanted = (service: Service): boolean => !left.has(keyOf(service));
  for (const service of claimed(await listServices({ client, signal })).filter(wanted)) {
    const key = keyOf(service);
    try {
      await release(service, { client, signal, emptied: flags.delete });
      released.push(key);
      if (!json) terminal.out.write(`released ${key}\n`);
    } catch (error) {
      signal.throwIfAborted();
      failures.push({ key, message: asBerthError(error).message });
    }
  }
  return { released, failures };
}
