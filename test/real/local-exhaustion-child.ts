// Proxies in a process with few file descriptors: prints their ports, then a line for each problem that they report.
import { systemClock } from '@berth/core';
import { HealthChecks } from '../../providers/local/proxy/health.ts';
import type { ListenerSettings } from '../../providers/local/proxy/spec.ts';
import { TcpListener, type ListenerContext } from '../../providers/local/proxy/tcp-listener.ts';
import { UdpListener } from '../../providers/local/proxy/udp-listener.ts';

const [tcpPort, udpPort] = process.argv.slice(2).map(Number);
const settings = (port = 0): ListenerSettings => ({
  targets: [{ host: '127.0.0.1', port }],
  sourceRanges: [],
  affinityMs: 0,
  traffic: {
    connectTimeoutMs: 2_000,
    idleTimeoutMs: 1_000,
    drainMs: 0,
    proxyProtocol: false,
    maxConnections: 10_000,
  },
});
const context: ListenerContext = {
  clock: systemClock,
  checks: new HealthChecks({ clock: systemClock }),
  onError: (error) => console.log(JSON.stringify({ code: (error as NodeJS.ErrnoException).code })),
};
const at = { address: '127.0.0.1', port: 0 };
const tcp = await TcpListener.open(at, settings(tcpPort), context);
const udp = await UdpListener.open(at, settings(udpPort), context);
console.log(JSON.stringify({ tcp: tcp.port, udp: udp.port }));
process.on('disconnect', () => process.exit(0));
