import { hostname } from 'node:os';
import { readEndpoint } from '../../controller/ask-leader.ts';
import type { StatusEntry } from '../../controller/inspect.ts';
import { readControllerLease } from '../../controller/lease-reading.ts';
import { listServices, readServerVersion, type KubeClient } from '../../kube/index.ts';
import type { DoctorCheck, DoctorHost, Outcome } from '../../provider/doctor.ts';
import { loadDoctor, type LoadRequest } from '../../provider/registry.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import type { DoctorFlags } from '../program.ts';
import { withProgress } from '../progress.ts';
import { withConnection, type Invocation } from '../invocation.ts';
import { inquire } from '../session.ts';
import { jsonText, paintFor, tableText, type Paint, type Style } from '../terminal.ts';
import { isList } from './answers.ts';
import { clockCheck, leaseCheck, problemCheck, statusChecks, unservedChecks } from './doctor-checks.ts';

/** How long one process may take to answer, in milliseconds. */
const ASK_MS = 2_000;
/** How long the API server may take for the first answer, in milliseconds. */
const REACH_MS = 10_000;
/** How long the checks of one provider may take, in milliseconds. */
const PROVIDER_MS = 30_000;

/** A check, and whose it is: the core's or a provider's. */
export interface OwnedCheck extends DoctorCheck {
  readonly by: string;
}

/**
 * `berth doctor`: looks at everything that is known to go wrong and changes nothing. Ends with `EXIT.failed` when a check
 * failed; a warning is no failure, and neither is what could not be looked at.
 */
export async function doctorCommand(invocation: Invocation, flags: DoctorFlags): Promise<ExitCode> {
  const { terminal, json, environment } = invocation;
  const here = flags.local === true ? (environment.nodeName ?? hostname()) : undefined;
  const node = flags.node ?? here;
  const checks = await withConnection(invocation, (_, client) => examine(invocation, client, node));
  const sorted = sortChecks(checks);
  if (json) terminal.out.write(jsonText({ counts: countChecks(sorted), checks: sorted }));
  else terminal.out.write(doctorText(sorted, paintFor(terminal)));
  return countChecks(sorted).failed > 0 ? EXIT.failed : EXIT.ok;
}

async function examine(
  invocation: Invocation,
  client: KubeClient,
  node: string | undefined,
): Promise<readonly OwnedCheck[]> {
  const { settings, signal } = invocation;
  const [server, ...first] = await serverChecks(client, signal);
  const owned = (checks: readonly DoctorCheck[]): readonly OwnedCheck[] =>
    checks.map((check) => ({ by: 'berth', ...check }));
  const names = settings.providers.map(({ section, spec }) => section ?? spec);
  // Without it there is nothing else to read; what a provider finds on this machine is worth the more.
  if (server?.outcome === 'failed')
    return [...owned([server]), ...(await providersChecks(invocation, { client, node, names }))];
  const status = await statusOf(invocation);
  const services = 'status' in status ? await serviceChecks(client, status.status, signal) : [status.check];
  const serving = 'status' in status ? status.status.map(({ provider }) => provider) : [];
  const all = [...new Set([...names, ...serving])];
  return [
    ...owned([...(server === undefined ? [] : [server]), ...first, ...services]),
    ...owned([await controllerCheck(invocation, client)]),
    ...(await providersChecks(invocation, { client, node, names: all })),
  ];
}

/** Whether the API server answers; the first one says so. */
async function serverChecks(client: KubeClient, signal: AbortSignal): Promise<readonly DoctorCheck[]> {
  const check = 'api-server';
  const limit = AbortSignal.any([signal, AbortSignal.timeout(REACH_MS)]);
  try {
    const version = await readServerVersion(client, limit);
    const message = `${client.server} answers, Kubernetes ${version}`;
    return [{ check, outcome: 'ok', message }, clockCheck(client.serverDate, Date.now())];
  } catch (error) {
    signal.throwIfAborted();
    const failed = problemCheck(check, error, 'failed');
    const remedy = 'Check that the API server runs and that the kubeconfig names its address';
    return [{ ...failed, remedy: failed.remedy ?? remedy }];
  }
}

async function controllerCheck({ settings, signal }: Invocation, client: KubeClient): Promise<DoctorCheck> {
  const { namespace } = settings.election;
  try {
    const lease = await readControllerLease({ client, namespace, signal });
    // A wrong clock of this machine has a check of its own, and makes no fresh Lease stale.
    const now = Date.parse(client.serverDate ?? '');
    return leaseCheck(lease, namespace, Number.isNaN(now) ? Date.now() : now);
  } catch (error) {
    signal.throwIfAborted();
    return problemCheck('controller', error);
  }
}

type Status = { readonly status: readonly StatusEntry[] } | { readonly check: DoctorCheck };

async function statusOf(invocation: Invocation): Promise<Status> {
  try {
    const { value } = await inquire(invocation, {
      question: 'status',
      accepts: isList<StatusEntry>,
      look: ({ controller }) => controller.inspect.status(),
    });
    return { status: value };
  } catch (error) {
    invocation.signal.throwIfAborted();
    return { check: problemCheck('services', error) };
  }
}

async function serviceChecks(
  client: KubeClient,
  status: readonly StatusEntry[],
  signal: AbortSignal,
): Promise<readonly DoctorCheck[]> {
  try {
    const services = await listServices({ client, signal });
    return [...unservedChecks(services, status), ...statusChecks(status)];
  } catch (error) {
    signal.throwIfAborted();
    return [problemCheck('unserved', error), ...statusChecks(status)];
  }
}

interface ProvidersScene {
  readonly client: KubeClient;
  readonly node: string | undefined;
  readonly names: readonly string[];
}

async function providersChecks(
  invocation: Invocation,
  { client, node, names }: ProvidersScene,
): Promise<readonly OwnedCheck[]> {
  const one = async (by: string): Promise<readonly OwnedCheck[]> => {
    try {
      const checks = await providerChecks(invocation, { client, node, name: by });
      return checks.map((check) => ({ by, ...check }));
    } catch (error) {
      invocation.signal.throwIfAborted();
      return [{ by, ...problemCheck('provider', error) }];
    }
  };
  const found = await withProgress(invocation.terminal, 'looking for what is wrong', () =>
    Promise.all(names.map(one)),
  );
  return found.flat();
}

async function providerChecks(
  invocation: Invocation,
  { client, node, name }: { client: KubeClient; node: string | undefined; name: string },
): Promise<readonly DoctorCheck[]> {
  const { settings, directory, log } = invocation;
  const configured = settings.providers.find(({ section, spec }) => name === (section ?? spec));
  const request: Omit<LoadRequest, 'host'> = { ...(configured ?? { spec: name }), from: directory };
  const found = await loadDoctor(request);
  if (found === undefined) return [];
  const signal = AbortSignal.any([invocation.signal, AbortSignal.timeout(PROVIDER_MS)]);
  const host: DoctorHost = {
    api: {
      request: <T>(call: Parameters<DoctorHost['api']['request']>[0]) => client.request(call) as Promise<T>,
    },
    ask: async (endpoint, question) =>
      JSON.parse(
        await readEndpoint({ client, signal, timeoutMs: ASK_MS }, { endpoint, path: `/api/${question}` }),
      ) as unknown,
    namespace: settings.election.namespace,
    node,
    now: Date.now,
    log,
    signal,
  };
  return found.doctor(found.config, host);
}

const WORST: readonly Outcome[] = ['failed', 'warning', 'ok', 'skipped'];

/** What needs doing first; then by owner, check and subject. */
export function sortChecks(checks: readonly OwnedCheck[]): readonly OwnedCheck[] {
  const rank = ({ outcome }: DoctorCheck): number => WORST.indexOf(outcome);
  const name = ({ by, check, subject = '' }: OwnedCheck): string => `${by}\0${check}\0${subject}`;
  return checks.toSorted((a, b) => rank(a) - rank(b) || (name(a) < name(b) ? -1 : 1));
}

/** How many checks came out how. */
export function countChecks(checks: readonly DoctorCheck[]): Readonly<Record<Outcome, number>> {
  const count = (wanted: Outcome): number => checks.filter(({ outcome }) => outcome === wanted).length;
  return {
    ok: count('ok'),
    warning: count('warning'),
    failed: count('failed'),
    skipped: count('skipped'),
  };
}

const STYLES: Readonly<Record<Outcome, Style>> = {
  ok: 'good',
  warning: 'warn',
  failed: 'bad',
  skipped: 'dim',
};

/** The table of checks, what to do about those that are not in order, and a line of counts. */
export function doctorText(checks: readonly OwnedCheck[], paint: Paint): string {
  const rows = checks.map(({ by, check, subject = '-', outcome, message }) => [
    paint(STYLES[outcome], outcome),
    by,
    check,
    subject,
    message,
  ]);
  const remedies = checks
    .filter(({ outcome, remedy }) => remedy !== undefined && (outcome === 'failed' || outcome === 'warning'))
    .map(
      ({ check, subject, remedy }) => `${check}${subject === undefined ? '' : ` ${subject}`}: ${remedy}.\n`,
    );
  const { ok, warning, failed, skipped } = countChecks(checks);
  return [
    tableText(['OUTCOME', 'BY', 'CHECK', 'SUBJECT', 'MESSAGE'], rows),
    ...(remedies.length === 0 ? [] : [`To do:\n${[...new Set(remedies)].join('')}`]),
    `Doctor: ${ok} ok, ${warning} warnings, ${failed} failed, ${skipped} skipped\n`,
  ].join('\n');
}
