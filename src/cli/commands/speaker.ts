import { hostname } from 'node:os';
import { endpointOf, serveHttp } from '../../controller/http.ts';
import { KubeClient, type Connection } from '../../kube/index.ts';
import { systemClock } from '../../provider/clock.ts';
import type { ProcessHost, ProcessOptions } from '../../provider/process.ts';
import { loadProcess } from '../../provider/registry.ts';
import { UsageError } from '../errors.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import type { SpeakerFlags } from '../program.ts';
import { withConnection, type Invocation } from '../invocation.ts';
import { processApi, RequestCounts } from './process-api.ts';

/** How long events may still be written after the process is done, in milliseconds. */
const EVENTS_DEADLINE_MS = 1_000;

/** `berth speaker`: the provider's process on one node, until SIGTERM or SIGINT. */
export async function speakerCommand(invocation: Invocation, flags: SpeakerFlags): Promise<ExitCode> {
  const { settings, environment, log, version, directory } = invocation;
  const node = flags.node ?? environment.nodeName;
  if (node === undefined)
    throw new UsageError([
      'a speaker must know its node: give --node NAME, or NODE_NAME in the environment.',
    ]);
  const [spec = { spec: 'metal' }] = settings.providers;
  const { process, config } = await loadProcess({ ...spec, from: directory }, 'speaker');
  return withConnection(invocation, async (connection) => {
    log.info({ version, node, server: connection.server.href, from: connection.source }, 'starting');
    const options = optionsOf(flags, { node, classes: spec.classes ?? [] });
    const host = hostOf(invocation, connection, options);
    try {
      await process.run(config, host);
    } finally {
      await host.close();
    }
    return EXIT.ok;
  });
}

function optionsOf(
  { secretFile, excludeInterface, ignoreExcludeLb }: SpeakerFlags,
  { node, classes }: Pick<ProcessOptions, 'node' | 'classes'>,
): ProcessOptions {
  return {
    node,
    classes,
    ignoreExcludeLabel: ignoreExcludeLb ?? false,
    ...(secretFile === undefined ? {} : { secretFile }),
    ...(excludeInterface === undefined ? {} : { excludeInterfaces: excludeInterface }),
  };
}

function hostOf(
  { settings, environment, log, signal, version }: Invocation,
  connection: Connection,
  options: ProcessOptions,
): ProcessHost & { close(): Promise<void> } {
  const counts = new RequestCounts();
  const client = new KubeClient(connection, { version, onRequest: (record) => counts.take(record) });
  const ended = new AbortController();
  const api = processApi({ client, log, signal: ended.signal, instance: hostname() });
  const closing: (() => Promise<void>)[] = [() => api.close(EVENTS_DEADLINE_MS)];
  return {
    clock: systemClock,
    log,
    signal,
    options,
    clusterId: settings.clusterId,
    namespace: settings.election.namespace,
    supervised: environment.inPod,
    api,
    async serve({ ready, metrics, answer }) {
      const endpoint = await serveHttp(
        {
          healthy: () => true,
          ready,
          metrics: async () => `${await metrics()}${counts.text()}`,
          answer,
        },
        settings.listen,
      );
      closing.push(() => endpoint.close());
      const { host, port } = endpoint;
      log.info({ host, port }, 'serving /healthz, /readyz, /metrics and /api/announcements');
      return { host, port, endpoint: endpointOf(settings.pod, endpoint) };
    },
    async close() {
      for (const close of closing) await close();
      ended.abort(new Error('the process is done'));
    },
  };
}
