import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createTestHost, type TestHost } from '../conformance/host.ts';
import { conditionOf, eventually, Person } from '../../test/fixtures/kube-objects.ts';
import {
  runOptions,
  startLocal,
  type LocalController,
  type LocalRun,
} from '../../test/fixtures/run-controller.ts';
import { MemoryCloud } from '../provider/memory.ts';
import type { Provider } from '../provider/spi.ts';
import { startSandbox, type Sandbox } from '../sandbox/index.ts';
import { lookOnce, runController } from './run.ts';

const election = {
  namespace: 'kube-system',
  leaseDurationMs: 2_000,
  renewDeadlineMs: 1_000,
  retryPeriodMs: 100,
};

let sandbox: Sandbox;
let person: Person;
let cloud: MemoryCloud;
const controllers: LocalController[] = [];
beforeEach(async () => {
  sandbox = await startSandbox();
  person = new Person({ url: sandbox.url });
  cloud = new MemoryCloud();
  await person.createNode('node-1');
});
afterEach(async () => {
  for (const controller of controllers.splice(0)) await controller.stop().catch(() => undefined);
  person.close();
  await sandbox.stop();
});

function start(options: Partial<LocalRun> = {}): LocalController & { readonly host: TestHost } {
  const host = createTestHost();
  const controller = startLocal({
    server: { url: sandbox.url },
    provider: { cloud },
    log: host.log,
    ...options,
  });
  controllers.push(controller);
  return { ...controller, host };
}

/** Asks the process's HTTP endpoint, which its log names. */
async function ask({ host }: { readonly host: TestHost }, path: string): Promise<Response> {
  const line = await eventually(() => {
    const found = host.lines.find(({ message }) => message.startsWith('serving /healthz'));
    if (found === undefined) throw new Error('it does not serve yet');
    return found.fields as { host: string; port: number };
  });
  return await fetch(`http://${line.host}:${line.port}${path}`);
}

async function status(process: { readonly host: TestHost }, path: string): Promise<number> {
  return (await ask(process, path)).status;
}

describe('runController', () => {
  it('is alive at once and ready when it has observed everything', async () => {
    const observe = Promise.withResolvers<void>();
    const alter = ({ observe: read }: Provider): Partial<Provider> => ({
      observe: async (...given) => {
        await observe.promise;
        return await read(...given);
      },
    });
    const process = start({ provider: { cloud, alter } });
    expect(await status(process, '/healthz')).toBe(200);
    expect(await status(process, '/readyz')).toBe(503);
    observe.resolve();
    await process.acting;
    expect(await status(process, '/readyz')).toBe(200);
  });

  it('is ready as a standby, too, and leaves questions to the leader', async () => {
    const leader = start({ election: { ...election, identity: 'leader' } });
    await leader.acting;
    const standby = start({ election: { ...election, identity: 'standby' } });
    await eventually(async () => expect(await status(standby, '/readyz')).toBe(200));
    expect(await status(leader, '/api/status')).toBe(200);
    expect(await status(standby, '/api/status')).toBe(503);
  });

  it('answers what it would do, how things are, and why', async () => {
    const process = start();
    await process.acting;
    await person.createService('web');
    await eventually(async () => expect(conditionOf(await person.service('web'))).toBe('True Provisioned'));
    expect(await (await ask(process, '/api/plan')).json()).toEqual([]);
    expect(await (await ask(process, '/api/status')).json()).toMatchObject([
      { key: 'default/web', state: 'True' },
    ]);
    expect(await (await ask(process, '/api/explain?key=default/web')).json()).toMatchObject({
      key: 'default/web',
      reason: 'Provisioned',
    });
    expect(await status(process, '/api/nonsense')).toBe(503);
  });

  it('counts its requests to the API server by code and method', async () => {
    const process = start();
    await process.acting;
    const metrics = await (await ask(process, '/metrics')).text();
    expect(metrics).toMatch(
      /^rest_client_requests_total\{code="200",method="GET",host="127\.0\.0\.1:\d+"\} [1-9]/m,
    );
    expect(metrics).toContain('# TYPE berth_plan_steps_total counter');
  });

  it('says where its leader is reached on the Lease, and takes that away when it stops', async () => {
    const process = start({ election: { ...election, identity: 'leader' } });
    await process.acting;
    const lease = (): Readonly<Record<string, string>> =>
      (sandbox.objects.get({ resource: 'leases', namespace: 'kube-system', name: 'berth-controller' })
        ?.metadata['annotations'] ?? {}) as Readonly<Record<string, string>>;
    const endpoint = lease()['berth.dev/endpoint'] ?? '';
    expect(endpoint).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    expect((await fetch(`${endpoint}/api/plan`)).status).toBe(200);
    expect(await process.stop()).toBe('stopped');
    expect(lease()['berth.dev/endpoint']).toBeUndefined();
  });

  it('ends as lost when somebody else takes the Lease, and leaves everything as it is', async () => {
    const process = start({ election: { ...election, identity: 'leader' } });
    await process.acting;
    await person.createService('web');
    await eventually(async () => expect(conditionOf(await person.service('web'))).toBe('True Provisioned'));
    const name = { resource: 'leases', namespace: 'kube-system', name: 'berth-controller' };
    sandbox.objects.patch(name, {
      spec: { holderIdentity: 'somebody', acquireTime: '2030-01-01T00:00:00.000000Z' },
    });
    expect(await process.ended).toBe('lost');
    expect(cloud.loadBalancers.size).toBe(1);
    expect(conditionOf(await person.service('web'))).toBe('True Provisioned');
  });

  it('does not start with a provider that cannot be loaded, and lets its port go', async () => {
    const { signal } = new AbortController();
    const host = createTestHost();
    const run = { server: { url: sandbox.url }, provider: { cloud }, log: host.log };
    const options = runOptions(run, { signal, onActing: () => undefined });
    const providers = [{ spec: './there-is-no-such-provider' }];
    await expect(runController({ ...options, providers })).rejects.toMatchObject({
      code: 'ProviderNotFound',
    });
    await expect(ask({ host }, '/healthz')).rejects.toThrow('fetch failed');
    options.connection.close();
  });
});

describe('lookOnce', () => {
  it('sees what a controller would do, and changes nothing', async () => {
    await person.createService('web');
    const stop = new AbortController();
    const run = { server: { url: sandbox.url }, provider: { cloud, pool: ['192.0.2.0/24'] } };
    const options = runOptions(run, { signal: stop.signal, onActing: () => undefined });
    const before = sandbox.requests.count({ verb: 'write' });
    const looked = await lookOnce(options);
    const [entry] = looked.controller.inspect.plan();
    expect(entry?.key).toBe('default/web');
    expect(entry?.steps.map(({ verb, resource }) => `${verb} ${resource}`)).toEqual([
      'create loadBalancer',
      'create listener',
      'create targets',
    ]);
    await looked.close();
    stop.abort(new Error('done'));
    options.connection.close();
    expect(cloud.writes).toBe(0);
    expect(sandbox.requests.count({ verb: 'write' })).toBe(before);
  });
});
