// Stand-in for `berth run --config FILE`, until there is one.
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { pino } from 'pino';
import { connectKube } from '../../src/kube/index.ts';
import { runController } from '../../src/controller/run.ts';
import { systemClock } from '../../src/provider/clock.ts';

const config = JSON.parse(readFileSync(process.argv[4] ?? '', 'utf8'));
const ac = new AbortController();
process.on('SIGTERM', () => ac.abort(new Error('SIGTERM')));
const log = pino({ level: 'info' });
const [host, port] = config.listen.split(':');
const connection = await connectKube({ kubeconfig: config.kubeconfig });
await runController({
  connection,
  providers: [{ spec: 'memory', config: config.providers.memory.config }],
  defaultProvider: undefined,
  clusterId: undefined,
  clusterName: 'bench',
  settings: {
    concurrentSyncs: 10,
    sweepIntervalMs: 600_000,
    drift: 'enforce',
    deleteOrphans: false,
    allocateNodePorts: true,
  },
  election: { namespace: 'berth-system', identity: `${hostname()}-${process.pid}` },
  listen: { host, port: Number(port) },
  pod: undefined,
  from: process.cwd(),
  signal: ac.signal,
  clock: systemClock,
  random: Math.random,
  log,
  version: 'bench',
});
connection.close();
