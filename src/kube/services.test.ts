import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ScriptedCall, ScriptedServer } from '../../test/harness/scripted-server.ts';
import { FINALIZER } from '../model/names.ts';
import type { Condition, Ingress, Service } from '../model/service.ts';
import { KubeClient } from './client.ts';
import { connectPlain } from './connection.ts';
import { toService } from './convert.ts';
import {
  addFinalizer,
  allocateNodePorts,
  clearCondition,
  getService,
  listServices,
  patchStatus,
  removeFinalizer,
  type WriteContext,
} from './services.ts';
import { sameIngress } from './status.ts';

let server: ScriptedServer;
let client: KubeClient;
let context: WriteContext;

beforeEach(async () => {
  server = await ScriptedServer.start((call) => call.json({ answered: call.path }));
  client = new KubeClient(connectPlain(server.url));
  context = { client, signal: new AbortController().signal };
});

afterEach(async () => {
  client.close();
  await server.close();
});

const foreign: Condition = {
  type: 'example.com/Ready',
  status: 'True',
  reason: 'Fine',
  message: 'of somebody else',
  lastTransitionTime: '2026-01-01T00:00:00Z',
  observedGeneration: 4,
};
const ours: Condition = {
  type: 'berth.dev/Provisioned',
  status: 'True',
  reason: 'Provisioned',
  message: 'all is well',
  lastTransitionTime: '2026-01-01T00:00:00Z',
};
const nowMs = Date.UTC(2026, 5, 1, 12, 0, 0, 999);
const now = '2026-06-01T12:00:00Z';

function aService(changes: Partial<Service> = {}): Service {
  const raw = { metadata: { namespace: 'shop', name: 'web', uid: 'u', resourceVersion: '42' } };
  return { ...toService(raw)!, ...changes };
}

/** The only call there was. */
function theCall(): ScriptedCall {
  expect(server.calls).toHaveLength(1);
  return server.calls[0]!;
}

/** The only call there was, as far as a patch goes. */
function thePatch(): unknown {
  const { method, path, headers, body } = theCall();
  return [`${method} ${path}`, headers['content-type'], body];
}

function aPatch(path: string, body: unknown): unknown {
  return [`PATCH ${path}`, 'application/merge-patch+json', body];
}

const path = '/api/v1/namespaces/shop/services/web';

describe('finalizers', () => {
  it('are patched as a list of their own, with the version as precondition, and those of others stay', async () => {
    const answer = await addFinalizer(context, aService({ finalizers: ['a.example/x'] }));
    expect(thePatch()).toEqual(
      aPatch(path, { metadata: { resourceVersion: '42', finalizers: ['a.example/x', FINALIZER] } }),
    );
    expect(answer).toEqual({ answered: path });
  });

  it('keep the order of the others when ours goes', async () => {
    await removeFinalizer(context, aService({ finalizers: ['a.example/x', FINALIZER, 'b.example/y'] }));
    expect(thePatch()).toEqual(
      aPatch(path, { metadata: { resourceVersion: '42', finalizers: ['a.example/x', 'b.example/y'] } }),
    );
  });

  it('leave no empty list behind', async () => {
    await removeFinalizer(context, aService({ finalizers: [FINALIZER] }));
    expect(thePatch()).toEqual(aPatch(path, { metadata: { resourceVersion: '42', finalizers: null } }));
  });

  it('B13 Adding or removing the finalizer twice sends no second patch.', async () => {
    expect(await addFinalizer(context, aService({ finalizers: [FINALIZER] }))).toBeUndefined();
    expect(await removeFinalizer(context, aService())).toBeUndefined();
    expect(server.calls).toEqual([]);
  });
});

describe('the status patch', () => {
  const ingress: Ingress[] = [{ ip: '127.0.0.9', ipMode: 'Proxy', ports: [{ port: 80, protocol: 'TCP' }] }];
  const wanted = { status: 'True', reason: 'Provisioned', message: 'all is well' } as const;

  it('holds the addresses, our condition among those of others, and the annotations, in one request', async () => {
    const annotations = { 'berth.dev/applied': '{}', gone: null, same: 'x' };
    const service = aService({ conditions: [foreign], annotations: { gone: 'y', same: 'x' } });
    await patchStatus(context, service, { ingress, condition: wanted, annotations, nowMs });
    expect(thePatch()).toEqual(
      aPatch(`${path}/status`, {
        metadata: { resourceVersion: '42', annotations: { 'berth.dev/applied': '{}', gone: null } },
        status: { loadBalancer: { ingress }, conditions: [foreign, { ...ours, lastTransitionTime: now }] },
      }),
    );
  });

  it('is not sent when nothing differs', async () => {
    const service = aService({ ingress, conditions: [foreign, ours], annotations: { a: 'b' } });
    const same = { ingress, condition: wanted, annotations: { a: 'b', gone: null }, nowMs };
    expect(await patchStatus(context, service, same)).toBeUndefined();
    expect(server.calls).toEqual([]);
  });

  it('holds only what differs', async () => {
    const service = aService({ ingress, conditions: [ours] });
    await patchStatus(context, service, { ingress: [], condition: wanted, nowMs });
    expect(thePatch()).toEqual(
      aPatch(`${path}/status`, {
        metadata: { resourceVersion: '42' },
        status: { loadBalancer: { ingress: null } },
      }),
    );
  });

  it('moves the transition time when the status changes and not when only the words do', async () => {
    const service = aService({ conditions: [ours, foreign] });
    const reworded = { ...wanted, message: 'all is very well' };
    await patchStatus(context, service, { condition: reworded, nowMs });
    expect(theCall().body).toMatchObject({
      status: { conditions: [{ ...ours, message: 'all is very well' }, foreign] },
    });
    server.calls.length = 0;
    const failed = { status: 'False', reason: 'PoolExhausted', message: 'no address' } as const;
    await patchStatus(context, service, { condition: failed, nowMs });
    expect(theCall().body).toMatchObject({
      status: { conditions: [{ ...ours, ...failed, lastTransitionTime: now }, foreign] },
    });
  });

  it('takes our condition away and leaves those of others', async () => {
    await clearCondition(context, aService({ conditions: [ours, foreign] }));
    expect(thePatch()).toEqual(
      aPatch(`${path}/status`, { metadata: { resourceVersion: '42' }, status: { conditions: [foreign] } }),
    );
    server.calls.length = 0;
    await clearCondition(context, aService({ conditions: [ours] }));
    expect(thePatch()).toEqual(
      aPatch(`${path}/status`, { metadata: { resourceVersion: '42' }, status: { conditions: null } }),
    );
    server.calls.length = 0;
    expect(await clearCondition(context, aService({ conditions: [foreign] }))).toBeUndefined();
    expect(server.calls).toEqual([]);
  });
});

describe('sameIngress', () => {
  const base: Ingress = { ip: '10.0.0.1', ipMode: 'VIP', ports: [{ port: 80, protocol: 'TCP' }] };
  it.each<[string, Ingress]>([
    ['the address', { ...base, ip: '10.0.0.2' }],
    ['the host name', { ...base, hostname: 'x' }],
    ['the mode', { ...base, ipMode: 'Proxy' }],
    ['the mode being absent', { ip: '10.0.0.1', ports: base.ports! }],
    ['the number of ports', { ...base, ports: [] }],
    ['the protocol of a port', { ...base, ports: [{ port: 80, protocol: 'UDP' }] }],
    ['the error of a port', { ...base, ports: [{ port: 80, protocol: 'TCP', error: 'E' }] }],
  ])(
    'B16 Status equality looks at IP, hostname, ipMode, ports count, protocol: %s makes a difference',
    (_, other) => {
      expect(sameIngress([base], [{ ...base }])).toBe(true);
      expect(sameIngress([base], [other])).toBe(false);
      expect(sameIngress([other], [base])).toBe(false);
      expect(sameIngress([base], [base, other])).toBe(false);
    },
  );
});

describe('other requests', () => {
  it('lets the API server allocate node ports, once', async () => {
    await allocateNodePorts(context, aService({ allocateLoadBalancerNodePorts: false }));
    expect(thePatch()).toEqual(
      aPatch(path, { metadata: { resourceVersion: '42' }, spec: { allocateLoadBalancerNodePorts: true } }),
    );
    expect(await allocateNodePorts(context, aService())).toBeUndefined();
    expect(server.calls).toHaveLength(1);
  });

  it('surfaces a conflict and a missing object as errors of their own', async () => {
    server.handle = (call) => call.status(409, 'Conflict');
    await expect(addFinalizer(context, aService())).rejects.toMatchObject({ code: 'ApiConflict' });
    server.handle = (call) => call.status(404, 'NotFound');
    await expect(addFinalizer(context, aService())).rejects.toMatchObject({ code: 'ApiNotFound' });
    expect(server.calls).toHaveLength(2);
  });

  it('gives up on a write after four seconds or what it is told', async () => {
    server.handle = () => {};
    const started = performance.now();
    const short = { ...context, timeoutMs: 60 };
    await expect(addFinalizer(short, aService())).rejects.toMatchObject({ code: 'ApiTimeout' });
    expect(performance.now() - started).toBeLessThan(1000);
  });

  it('reads one Service and all Services', async () => {
    const raw = { metadata: { namespace: 'shop', name: 'web', uid: 'u', resourceVersion: '42' } };
    server.handle = (call) => call.json(raw);
    expect(await getService(context, { namespace: 'shop', name: 'web' })).toEqual(aService());
    server.handle = (call) =>
      call.json({
        metadata: { resourceVersion: '9', continue: call.query.get('continue') ? '' : 'x' },
        items: [raw],
      });
    expect(await listServices(context)).toEqual([aService(), aService()]);
  });

  it('does not let a name leave its place in the path', async () => {
    await expect(getService(context, { namespace: '..', name: 'secrets' })).rejects.toMatchObject({
      code: 'InvalidName',
    });
    server.handle = (call) => call.json({});
    await getService(context, { namespace: 'a/../b', name: 'x?y#z' });
    expect(theCall().path).toBe('/api/v1/namespaces/a%2F..%2Fb/services/x%3Fy%23z');
  });
});
