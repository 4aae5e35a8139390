import { createSocket } from 'node:dgram';
import { Agent, request } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ServiceObject } from '../machinery/objects.ts';
import { type Sandbox, startSandbox } from '../sandbox.ts';
import { type SimulatedNodes, startNodes } from './index.ts';
import { EXCLUDE_LABEL, LEAVING_TAINT } from './node.ts';
import { HEALTHZ_PORT } from './proxy.ts';

let sandbox: Sandbox;
let cluster: SimulatedNodes;
const errors: unknown[] = [];

beforeEach(async () => {
  errors.length = 0;
  sandbox = await startSandbox();
  cluster = await startNodes(sandbox, { count: 2, onError: (error) => errors.push(error) });
});

afterEach(async () => {
  await cluster.stop();
  await sandbox.stop();
  if (errors.length > 0) throw new AggregateError(errors, 'Something went wrong in the background.');
});

/** A Service for the demo backends, once the nodes listen for it. */
async function aService(spec: object = {}): Promise<ServiceObject> {
  const service = sandbox.objects.create('services', {
    metadata: { name: 'web' },
    spec: { type: 'LoadBalancer', selector: { app: 'demo' }, ports: [{ port: 80 }], ...spec },
  });
  await cluster.settled();
  return service as ServiceObject;
}

const nodePort = (service: ServiceObject, index = 0): number => service.spec.ports![index]!.nodePort!;

type HttpArguments = [host: string, port: number, path?: string, agent?: Agent | false];

interface Answer {
  readonly status: number;
  readonly body: string;
}

async function http(...[host, port, path = '/hostname', agent = false]: HttpArguments): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const sent = request({ host, port, path, agent, timeout: 5_000 }, (response) => {
    let body = '';
    response.on('data', (chunk: Buffer) => (body += chunk.toString()));
    response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
  });
  sent.on('error', reject);
  sent.end();
  return promise;
}

async function names(host: string, port: number, count = 8): Promise<Set<string>> {
  const seen = new Set<string>();
  for (let index = 0; index < count; index++) seen.add((await http(host, port)).body);
  return seen;
}

async function udp(host: string, port: number, text: string): Promise<string> {
  const socket = createSocket('udp4');
  try {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    socket.on('message', (data) => resolve(data.toString()));
    socket.on('error', reject);
    socket.send(text, port, host);
    return await Promise.race([promise, sleep(3_000).then(() => 'no answer')]);
  } finally {
    socket.close();
  }
}

const refused = { code: 'ECONNREFUSED' };

describe('simulated nodes', () => {
  it('register as Nodes with an address, a provider id and the condition Ready', () => {
    const [node] = sandbox.objects.list('nodes');
    expect(node).toMatchObject({
      metadata: { name: 'node-1' },
      spec: { providerID: 'sandbox://node-1' },
      status: { conditions: [{ type: 'Ready', status: 'True' }] },
    });
    expect(node!['spec']).not.toHaveProperty('taints');
    expect(cluster.nodes[0]!.address).toMatch(/^127\.66\.\d+\.1$/);
  });

  it('carry HTTP through every node to the backends of all nodes', async () => {
    const service = await aService();
    const everybody = ['node-1-demo-1', 'node-1-demo-2', 'node-2-demo-1', 'node-2-demo-2'];
    for (const { address } of cluster.nodes) {
      expect([...(await names(address, nodePort(service)))].toSorted()).toEqual(everybody);
    }
  });

  it('under policy Local carry traffic to their own backends only, and say so at the health check port', async () => {
    const service = await aService({ externalTrafficPolicy: 'Local' });
    const [first, second] = cluster.nodes;
    expect([...(await names(first!.address, nodePort(service)))].toSorted()).toEqual([
      'node-1-demo-1',
      'node-1-demo-2',
    ]);
    const check = () => http(second!.address, service.spec.healthCheckNodePort!, '/healthz');
    expect((await check()).status).toBe(200);
    for (const backend of second!.backends) backend.ready = false;
    // Any change of backends has the slices written again.
    await cluster.addBackends({ node: first!, labels: { app: 'other' } });
    await cluster.settled();
    expect((await check()).status).toBe(503);
    await expect(http(second!.address, nodePort(service))).rejects.toMatchObject(refused);
  });

  it('under policy Local show the backend the address of the client', async () => {
    const service = await aService({ externalTrafficPolicy: 'Local' });
    const [node] = cluster.nodes;
    expect((await http(node!.address, nodePort(service), '/clientip')).body).toMatch(/^127\.0\.0\.1:\d+$/);
  });

  it('under policy Cluster show the backend the address of the node', async () => {
    const service = await aService();
    const [node] = cluster.nodes;
    const { body } = await http(node!.address, nodePort(service), '/clientip');
    expect(body.startsWith(`${node!.address}:`)).toBe(true);
  });

  it('carry UDP on a node port of its own', async () => {
    const ports = [
      { name: 'web', port: 80 },
      { name: 'dns', port: 53, protocol: 'UDP' },
    ];
    const service = await aService({ ports });
    const [node] = cluster.nodes;
    expect(await udp(node!.address, nodePort(service, 1), 'anything')).toBe('anything');
    expect(await udp(node!.address, nodePort(service, 1), 'hostname')).toMatch(/^node-\d-demo-\d$/);
  });

  it('keep a client at one backend under ClientIP affinity', async () => {
    const service = await aService({ sessionAffinity: 'ClientIP' });
    const [node] = cluster.nodes;
    expect((await names(node!.address, nodePort(service))).size).toBe(1);
  });

  it('refuse connections to a Service without backends and after its deletion', async () => {
    const [node] = cluster.nodes;
    const lonely = await aService({ selector: { app: 'nobody' } });
    await expect(http(node!.address, nodePort(lonely))).rejects.toMatchObject(refused);
    sandbox.objects.delete({ resource: 'services', name: 'web' });
    const service = await aService();
    expect((await http(node!.address, nodePort(service))).status).toBe(200);
    sandbox.objects.delete({ resource: 'services', name: 'web' });
    await cluster.settled();
    await expect(http(node!.address, nodePort(service))).rejects.toMatchObject(refused);
    expect(sandbox.objects.list('endpointslices')).toEqual([]);
  });

  it('answer 200 on 10256 until they are tainted to leave', async () => {
    const [node] = cluster.nodes;
    expect((await http(node!.address, HEALTHZ_PORT, '/healthz')).status).toBe(200);
    node!.cordon();
    expect((await http(node!.address, HEALTHZ_PORT, '/healthz')).status).toBe(503);
    expect((await http(node!.address, HEALTHZ_PORT, '/livez')).status).toBe(200);
    node!.uncordon();
    expect((await http(node!.address, HEALTHZ_PORT, '/healthz')).status).toBe(200);
  });

  it('finish what is under way when they drain, and refuse afterwards', async () => {
    const service = await aService();
    const [node, other] = cluster.nodes;
    const slow = [1, 2, 3, 4].map(() => http(node!.address, nodePort(service), '/slow?ms=400'));
    const elsewhere = [1, 2, 3, 4].map(() => http(other!.address, nodePort(service), '/slow?ms=400'));
    await sleep(50);
    await node!.drain({ delayMs: 50, graceMs: 5_000 });
    for (const answer of await Promise.all([...slow, ...elsewhere])) expect(answer.status).toBe(200);
    expect(sandbox.objects.get({ resource: 'nodes', name: 'node-1' })).toMatchObject({
      spec: { taints: [{ key: LEAVING_TAINT }] },
    });
    await expect(http(node!.address, nodePort(service))).rejects.toMatchObject(refused);
    expect([...(await names(other!.address, nodePort(service)))].toSorted()).toEqual([
      'node-2-demo-1',
      'node-2-demo-2',
    ]);
  });

  it('fail no request while they drain, and end kept connections that rest', async () => {
    const service = await aService();
    const [node, other] = cluster.nodes;
    const kept = new Agent({ keepAlive: true, maxSockets: 4 });
    const over = new AbortController();
    const failures: unknown[] = [];
    const ask = async (agent: Agent | false): Promise<void> => {
      while (!over.signal.aborted) {
        await http(other!.address, nodePort(service), '/hostname', agent).catch((error) =>
          failures.push(error),
        );
      }
    };
    const asking = [ask(kept), ask(kept), ask(false), ask(false)];
    const start = performance.now();
    await node!.drain({ delayMs: 50, graceMs: 10_000 });
    expect(performance.now() - start).toBeLessThan(5_000);
    over.abort();
    await Promise.all(asking);
    kept.destroy();
    expect(failures).toEqual([]);
  });

  it('announce a drain by label when asked to', async () => {
    const [node] = cluster.nodes;
    await node!.drain({ by: 'label', delayMs: 1, graceMs: 10 });
    const { metadata } = sandbox.objects.get({ resource: 'nodes', name: 'node-1' })!;
    expect(metadata.labels?.[EXCLUDE_LABEL]).toBe('true');
  });

  it('reset connections when they die, and turn NotReady', async () => {
    const service = await aService();
    const [node] = cluster.nodes;
    const slow = http(node!.address, nodePort(service), '/slow?ms=5000');
    await sleep(50);
    await Promise.all([expect(slow).rejects.toMatchObject({ code: 'ECONNRESET' }), node!.stop()]);
    const status = sandbox.objects.get({ resource: 'nodes', name: 'node-1' })!['status'];
    expect(status).toMatchObject({ conditions: [{ type: 'Ready', status: 'Unknown' }] });
  });

  it('leave no socket open when they stop in the middle of traffic', async () => {
    const service = await aService();
    const [node] = cluster.nodes;
    const asking = Array.from({ length: 20 }, (_, index) =>
      http(node!.address, nodePort(service), index % 2 ? '/hostname' : '/slow?ms=5000').catch(
        () => undefined,
      ),
    );
    await sleep(15);
    await cluster.stop();
    await sandbox.stop();
    await Promise.all(asking);
    const open = () => process.getActiveResourcesInfo().filter((resource) => /^(TCP|UDP)/.test(resource));
    await expect.poll(open, { timeout: 5_000 }).toEqual([]);
  });

  it('come and go', async () => {
    const service = await aService();
    const added = await cluster.add();
    await cluster.settled();
    expect((await http(added.address, nodePort(service))).status).toBe(200);
    await cluster.remove(cluster.nodes[0]!);
    expect(sandbox.objects.list('nodes').map(({ metadata }) => metadata.name)).toEqual(['node-2', 'node-3']);
    const seen = await names(added.address, nodePort(service));
    expect([...seen].filter((name) => name.startsWith('node-1'))).toEqual([]);
  });

  it('pass on the end of one direction without ending the other', async () => {
    const service = await aService();
    const socket = connect({ host: cluster.nodes[0]!.address, port: nodePort(service), allowHalfOpen: true });
    socket.end('GET /hostname HTTP/1.0\r\n\r\n');
    let answer = '';
    for await (const chunk of socket) answer += String(chunk);
    expect(answer).toContain('200 OK');
  });

  it('two sets on one machine do not share addresses', async () => {
    const second = await startSandbox();
    const others = await startNodes(second, { count: 1 });
    expect(others.nodes[0]!.address).not.toBe(cluster.nodes[0]!.address);
    await others.stop();
    await second.stop();
  });
});

describe('backends', () => {
  it('answer /, /slow, /echo and say 404 to the rest', async () => {
    const service = await aService();
    const { address } = cluster.nodes[0]!;
    const get = (path: string) => http(address, nodePort(service), path);
    expect((await get('/')).body).toMatch(/^Hello from node-\d-demo-\d on node-\d\.\nYou are 127\./);
    expect((await get('/slow?ms=10')).body).toMatch(/^node-/);
    expect((await get('/echo')).body).toBe('');
    expect((await get('/nothing')).status).toBe(404);
  });

  it('that expect PROXY protocol v2 report the address from it', async () => {
    const [node] = cluster.nodes;
    await cluster.addBackends({ node: node!, labels: { app: 'proxied' }, proxyProtocol: true });
    const service = await aService({ selector: { app: 'proxied' } });
    const header = Buffer.from('0d0a0d0a000d0a515549540a2111000cc0000201c63364020d050050', 'hex');
    const socket = connect(nodePort(service), node!.address);
    // In pieces, because a header may arrive in any number of segments.
    socket.write(header.subarray(0, 9));
    await sleep(20);
    socket.write(Buffer.concat([header.subarray(9), Buffer.from('GET /clientip HTTP/1.0\r\n\r\n')]));
    let answer = '';
    for await (const chunk of socket) answer += String(chunk);
    expect(answer.endsWith('\r\n\r\n192.0.2.1:3333')).toBe(true);
  });
});
