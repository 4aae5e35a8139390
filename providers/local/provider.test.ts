/** The provider with real traffic: Services in, connections through the address that they get. */
import { createServer } from 'node:http';
import type { IpAddress, Service, Target } from '@berth/core';
import { createTestHost, Driver, serviceWith, targetWith, type TestHost } from '@berth/core/conformance';
import { afterEach, describe, expect, it } from 'vitest';
import { configSchema, createLocal } from './index.ts';
import * as kit from './proxy/testkit.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

async function started<T extends { close(): unknown }>(server: Promise<T>): Promise<T> {
  const made = await server;
  cleanups.push(() => made.close());
  return made;
}

/** Addresses that nobody else uses: a pool, three nodes, clients. */
const POOL = '127.84.0.1-127.84.0.9';
const NODES = ['127.84.1.1', '127.84.1.2', '127.84.1.3'] as const;

interface Scene {
  readonly driver: Driver;
  readonly host: TestHost;
  /** Makes what the Service asks for, and returns where it is reached. */
  serve(service: Service, targets?: readonly Target[]): Promise<string>;
}

async function scene(config: object = {}): Promise<Scene> {
  const host = createTestHost();
  const parsed = configSchema.parse({ pools: [{ name: 'default', addresses: [POOL] }], ...config });
  const provider = createLocal(parsed, host);
  cleanups.push(() => provider.close());
  const world = { provider, dispose: async () => {} };
  const driver = new Driver(world, { name: 'local', create: async () => world, targets: NODES.map(aNode) });
  await driver.observe();
  const serve: Scene['serve'] = async (service, targets) => {
    const wanted = driver.want(service, targets);
    await driver.converge(wanted);
    const [entry] = await driver.ready(wanted);
    return entry?.ip ?? '';
  };
  return { driver, host, serve };
}

function aNode(address: string): Target {
  return targetWith({ node: `node-${address}`, addresses: [address as IpAddress] });
}

/** A port number that is free now on all nodes and on the pool's addresses. */
async function freePort(): Promise<number> {
  return (await kit.closedPort(NODES[0])).port;
}

function aPort(port: number, nodePort: number, protocol: 'TCP' | 'UDP' = 'TCP'): Service['ports'][number] {
  return { name: `${protocol.toLowerCase()}-${port}`, protocol, port, nodePort, targetPort: 8080 };
}

/** A backend on every node that says the node's address. */
async function onEveryNode(nodePort: number): Promise<readonly kit.TestServer[]> {
  const answer = (address: string) => (socket: Parameters<Parameters<typeof kit.serve>[0]>[0]) => {
    socket.resume();
    socket.end(address);
  };
  return await Promise.all(NODES.map((address) => started(kit.serve(answer(address), address, nodePort))));
}

async function answers(
  to: { host: string; port: number },
  count: number,
  client?: string,
): Promise<string[]> {
  const texts: string[] = [];
  for (let i = 0; i < count; i++) texts.push((await kit.talk(to, '', client)).text);
  return texts;
}

describe('the local provider', () => {
  it('B113 externalTrafficPolicy Cluster: every node answers', async () => {
    const [port, nodePort] = [await freePort(), await freePort()];
    await onEveryNode(nodePort);
    const { serve } = await scene();
    const host = await serve(serviceWith({ ports: [aPort(port, nodePort)] }));
    expect(new Set(await answers({ host, port }, 6))).toEqual(new Set(NODES));
  });

  it('B113 externalTrafficPolicy Local: only nodes with endpoints get traffic, by /healthz on the healthCheckNodePort', async () => {
    const [port, nodePort, healthPort] = [await freePort(), await freePort(), await freePort()];
    await onEveryNode(nodePort);
    const withEndpoints = new Set<string>([NODES[1]]);
    for (const address of NODES) {
      const health = createServer(({ url }, response) => {
        response.writeHead(url === '/healthz' && withEndpoints.has(address) ? 200 : 503).end();
      });
      await new Promise<void>((resolve) => health.listen(healthPort, address, resolve));
      cleanups.push(() => health.close());
    }
    const { serve, host: testHost } = await scene({ defaults: { healthCheckIntervalSeconds: 1 } });
    const service = serviceWith({
      ports: [aPort(port, nodePort)],
      externalTrafficPolicy: 'Local',
      healthCheckNodePort: healthPort,
    });
    const host = await serve(service);
    await kit.until(() => testHost.lines.filter(({ message }) => message.includes('unhealthy')).length === 2);
    expect(await answers({ host, port }, 4)).toEqual(Array(4).fill(NODES[1]));
    withEndpoints.add(NODES[2]);
    await kit.until(() => testHost.lines.some(({ message }) => message.includes('healthy again')));
    expect(new Set(await answers({ host, port }, 4))).toEqual(new Set([NODES[1], NODES[2]]));
  });

  it('B113 the backend learns the client’s address through PROXY protocol v2', async () => {
    const [port, nodePort] = [await freePort(), await freePort()];
    await started(kit.serve((socket) => socket.pipe(socket), NODES[0], nodePort));
    const { serve } = await scene();
    const annotations = { 'local.berth.dev/proxy-protocol': 'v2' };
    const service = serviceWith({ ports: [aPort(port, nodePort)], annotations });
    const host = await serve(service, [aNode(NODES[0])]);
    const { text } = await kit.talk({ host, port }, 'hello', '127.84.2.9');
    expect([...Buffer.from(text, 'latin1').subarray(16, 24)]).toEqual([
      127,
      84,
      2,
      9,
      ...host.split('.').map(Number),
    ]);
    expect(text.endsWith('hello')).toBe(true);
  });

  it('B114 TCP and UDP on the same port number both answer', async () => {
    const [port, nodePort, udpNodePort] = [await freePort(), await freePort(), await freePort()];
    await onEveryNode(nodePort);
    for (const address of NODES) await started(kit.udpNamed('udp', address, udpNodePort));
    const { serve } = await scene();
    const ports = [aPort(port, nodePort), aPort(port, udpNodePort, 'UDP')];
    const host = await serve(serviceWith({ ports }));
    expect(NODES).toContain((await kit.talk({ host, port })).text);
    const client = await started(kit.udpClient());
    expect(await client.ask({ host, port }, 'x')).toBe('udp:x');
  });

  it('B115 a static loadBalancerIP is the resulting address, and answers', async () => {
    const [port, nodePort] = [await freePort(), await freePort()];
    await onEveryNode(nodePort);
    const { driver, serve } = await scene();
    const service = serviceWith({ ports: [aPort(port, nodePort)], loadBalancerIP: '127.84.0.7' });
    expect(await serve(service)).toBe('127.84.0.7');
    expect(driver.ingress(driver.want(service))).toMatchObject({
      ingress: [{ ip: '127.84.0.7', ipMode: 'Proxy' }],
    });
    expect(NODES).toContain((await kit.talk({ host: '127.84.0.7', port })).text);
  });

  it('B116 deleting the Service closes its listener, and connections may finish', async () => {
    const [port, nodePort] = [await freePort(), await freePort()];
    await started(kit.serve((socket) => socket.pipe(socket), NODES[0], nodePort));
    const { driver, serve } = await scene();
    const service = serviceWith({ ports: [aPort(port, nodePort)] });
    const host = await serve(service, [aNode(NODES[0])]);
    const client = await kit.dial({ host, port });
    client.write('1');
    await kit.nextData(client);
    await driver.converge('default/web');
    expect((await kit.talk({ host, port })).ended).toBe('ECONNREFUSED');
    const end = kit.outcome(client);
    client.end('2');
    expect(await end).toEqual({ text: '2', ended: 'end' });
  });

  it('B117 source ranges limit clients (TCP)', async () => {
    const [port, nodePort] = [await freePort(), await freePort()];
    await onEveryNode(nodePort);
    const { serve } = await scene();
    const service = serviceWith({
      ports: [aPort(port, nodePort)],
      loadBalancerSourceRanges: ['127.84.2.0/24'],
    });
    const host = await serve(service);
    expect((await kit.talk({ host, port }, '', '127.84.2.9')).ended).toBe('end');
    expect((await kit.talk({ host, port }, '', '127.84.3.9')).ended).toBe('ECONNRESET');
  });

  it('B118 session affinity: repeated requests from one client hit one backend', async () => {
    const [port, nodePort] = [await freePort(), await freePort()];
    await onEveryNode(nodePort);
    const { serve } = await scene();
    const host = await serve(serviceWith({ ports: [aPort(port, nodePort)], sessionAffinity: 'ClientIP' }));
    const [first, second] = [
      await answers({ host, port }, 4, '127.84.2.1'),
      await answers({ host, port }, 4, '127.84.2.2'),
    ];
    expect([new Set(first).size, new Set(second).size]).toEqual([1, 1]);
    expect(second[0]).not.toBe(first[0]);
  });

  it('loses no request while nodes leave and come back', async () => {
    const [port, nodePort] = [await freePort(), await freePort()];
    await onEveryNode(nodePort);
    const { driver, serve } = await scene();
    const service = serviceWith({ ports: [aPort(port, nodePort)] });
    const host = await serve(service);
    const stop = new AbortController();
    const seen: string[] = [];
    const client = async (): Promise<void> => {
      while (!stop.signal.aborted) {
        const { text, ended } = await kit.talk({ host, port });
        seen.push(ended === 'end' ? text : ended);
      }
    };
    const clients = [client(), client(), client()];
    for (const targets of [NODES.slice(1), NODES.slice(2), NODES]) {
      await kit.pause(50);
      await driver.converge(driver.want(service, targets.map(aNode)));
    }
    await kit.pause(50);
    stop.abort();
    await Promise.all(clients);
    expect(seen.length).toBeGreaterThan(10);
    expect(seen.filter((answer) => !NODES.some((node) => node === answer))).toEqual([]);
  });

  it('sends no datagrams to a node whose TCP port of the same Service does not answer', async () => {
    const [port, nodePort, udpNodePort] = [await freePort(), await freePort(), await freePort()];
    await started(kit.serve((socket) => socket.end(), NODES[0], nodePort));
    for (const address of NODES) await started(kit.udpNamed(address, address, udpNodePort));
    const { driver, host: testHost, serve } = await scene({ defaults: { healthCheckIntervalSeconds: 1 } });
    const udp = aPort(port, udpNodePort, 'UDP');
    const host = await serve(serviceWith({ ports: [udp] }));
    const ask = async (): Promise<string | undefined> =>
      (await (await started(kit.udpClient())).ask({ host, port }, 'x'))?.split(':')[0];
    expect(new Set([await ask(), await ask(), await ask()])).toEqual(new Set(NODES));
    await driver.converge(driver.want(serviceWith({ ports: [udp, aPort(port, nodePort)] })));
    await kit.until(() => testHost.lines.filter(({ message }) => message.includes('unhealthy')).length === 2);
    expect([await ask(), await ask(), await ask()]).toEqual([NODES[0], NODES[0], NODES[0]]);
  });

  it('counts connections by outcome, and how many are open', async () => {
    const [port, nodePort] = [await freePort(), await freePort()];
    await onEveryNode(nodePort);
    const { driver, host: testHost, serve } = await scene();
    const service = serviceWith({
      ports: [aPort(port, nodePort)],
      loadBalancerSourceRanges: ['127.84.2.0/24'],
    });
    const host = await serve(service);
    await kit.talk({ host, port }, '', '127.84.2.9');
    await kit.talk({ host, port }, '', '127.84.3.9');
    await driver.converge('default/web');
    const labels = { service: 'default/web', port: `${port}/TCP` };
    const count = (outcome: string) =>
      testHost.metric('berth_local_connections_total', { ...labels, outcome });
    expect([count('accepted'), count('refused'), count('connect_failed')]).toEqual([1, 1, 0]);
    expect(testHost.metric('berth_local_connections', labels)).toBe(0);
  });
});

describe('a port that cannot be opened', () => {
  it('is named with its reason while the other ports work, and is opened once it can be', async () => {
    const [port, taken, nodePort] = [await freePort(), await freePort(), await freePort()];
    await onEveryNode(nodePort);
    const { driver } = await scene();
    const other = await kit.serve(() => {}, '127.84.0.5', taken);
    const service = serviceWith({
      ports: [aPort(port, nodePort), aPort(taken, nodePort)],
      loadBalancerIP: '127.84.0.5',
    });
    const wanted = driver.want(service);
    await expect(driver.converge(wanted)).rejects.toMatchObject({
      kind: 'Denied',
      code: 'PortInUse',
      message: expect.stringMatching(new RegExp(`127\\.84\\.0\\.5:${taken}/TCP.*another process.*ss -ltunp`)),
    });
    expect(driver.ingress(wanted)).toEqual({
      kind: 'ready',
      ingress: [{ ip: '127.84.0.5', ipMode: 'Proxy' }],
      portErrors: [{ port: taken, protocol: 'TCP', error: 'PortInUse' }],
    });
    expect(NODES).toContain((await kit.talk({ host: '127.84.0.5', port })).text);
    expect(driver.plan(wanted)).toMatchObject([
      {
        verb: 'replace',
        resource: 'listener',
        key: `${taken}/TCP`,
        because: expect.stringContaining('PortInUse'),
      },
    ]);
    await other.close();
    await driver.converge(wanted);
    expect(driver.ingress(wanted)).toMatchObject({ kind: 'ready', portErrors: [] });
    expect(NODES).toContain((await kit.talk({ host: '127.84.0.5', port: taken })).text);
  });

  it('leaves the Service pending with the reason and the remedy when it is the only one', async () => {
    const [port, nodePort] = [await freePort(), await freePort()];
    const { driver } = await scene({ pools: [{ name: 'elsewhere', addresses: ['203.0.113.7'] }] });
    const wanted = driver.want(serviceWith({ ports: [aPort(port, nodePort)] }));
    await expect(driver.converge(wanted)).rejects.toMatchObject({ code: 'AddressNotLocal' });
    expect(driver.ingress(wanted)).toMatchObject({
      kind: 'pending',
      code: 'AddressNotLocal',
      message: expect.stringMatching(/203\.0\.113\.7.*does not have the address.*ip address add/),
    });
  });

  it('gives its old address back at once, because that may be another Service’s by now', async () => {
    const [port, nodePort] = [await freePort(), await freePort()];
    await onEveryNode(nodePort);
    const { driver, serve } = await scene({
      pools: [{ name: 'mixed', addresses: ['127.84.0.8', '203.0.113.7'] }],
    });
    const service = serviceWith({ ports: [aPort(port, nodePort)] });
    expect(await serve(service)).toBe('127.84.0.8');
    const moved = driver.want({ ...service, loadBalancerIP: '203.0.113.7' });
    await expect(driver.converge(moved)).rejects.toMatchObject({ code: 'AddressNotLocal' });
    expect((await kit.talk({ host: '127.84.0.8', port })).ended).toBe('ECONNREFUSED');
    expect(driver.ingress(moved)).toMatchObject({ kind: 'pending', code: 'AddressNotLocal' });
  });
});

describe('closing the provider', () => {
  it('ends listeners, connections and what is still draining', async () => {
    const [port, nodePort] = [await freePort(), await freePort()];
    await started(kit.serve((socket) => socket.pipe(socket), NODES[0], nodePort));
    const { driver, serve } = await scene();
    const [one, two] = ['one', 'two'].map((name) => serviceWith({ name, ports: [aPort(port, nodePort)] }));
    const clients = [];
    for (const service of [one!, two!]) {
      const client = await kit.dial({ host: await serve(service, [aNode(NODES[0])]), port });
      client.write('1');
      await kit.nextData(client);
      clients.push(kit.outcome(client));
    }
    await driver.converge('default/one');
    await driver.raw.close();
    expect((await Promise.all(clients)).map(({ ended }) => ended)).toEqual(['ECONNRESET', 'ECONNRESET']);
    expect((await driver.raw.observe(driver.signal)).loadBalancers.size).toBe(0);
  });
});
