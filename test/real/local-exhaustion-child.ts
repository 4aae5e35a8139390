// A proxy in a process with few file descriptors: prints its port, then a line for each problem that it reports.
import { systemClock } from '@berth/core';
import { HealthChecks } from '../../providers/local/proxy/health.ts';
import { TcpListener } from '../../providers/local/proxy/tcp-listener.ts';

const settings = {
  targets: [{ host: '127.0.0.1', port: Number(process.argv[2]) }],
  sourceRanges: [],
  affinityMs: 0,
  traffic: {
    connectTimeoutMs: 2_000,
    idleTimeoutMs: 60_000,
    drainMs: 0,
    proxyProtocol: false,
    maxConnections: 10_000,
  },
};
const listener = await TcpListener.open({ address: '127.0.0.1', port: 0 }, settings, {
  clock: systemClock,
  checks: new HealthChecks({ clock: systemClock }),
  onError: (error) => console.log(JSON.stringify({ code: (error as NodeJS.ErrnoException).code })),
});
console.log(JSON.stringify({ port: listener.port }));
process.on('disconnect', () => process.exit(0));
