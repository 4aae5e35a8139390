import { beforeEach, describe, expect, it } from 'vitest';
import type { JsonObject, ServiceObject } from '../machinery/objects.ts';
import { Registry } from '../machinery/registry.ts';
import { ApiError } from '../machinery/status.ts';
import { Store } from '../machinery/store.ts';
import { namespaces } from './namespace.ts';
import { services } from './service.ts';

let registry: Registry;

function aRegistry(serviceCidrs: readonly string[]): Registry {
  const random = () => 0;
  const types = [namespaces, services({ serviceCidrs, random })];
  const made = new Registry({ types, store: new Store({ historySize: 100 }), now: () => 0, random });
  made.create({ type: namespaces, namespace: '' }, { metadata: { name: 'shop' } });
  return made;
}

beforeEach(() => {
  registry = aRegistry(['10.0.0.0/24', 'fd00::/112']);
});

const at = () => ({ type: registry.type('services'), namespace: 'shop' });

function create(name: string, spec: JsonObject = {}): ServiceObject {
  const body = { metadata: { name }, spec: { type: 'LoadBalancer', ports: [{ port: 80 }], ...spec } };
  return registry.create(at(), body) as ServiceObject;
}

function patch(name: string, spec: JsonObject): ServiceObject {
  return registry.patch({ ...at(), name }, { kind: 'merge', body: { spec } }) as ServiceObject;
}

function refusal(action: () => unknown): ApiError {
  try {
    action();
  } catch (error) {
    if (error instanceof ApiError) return error;
    throw error;
  }
  throw new Error('It was not refused.');
}

const causes = (error: ApiError) =>
  error.details?.causes?.map((cause) => ('field' in cause ? cause.field : ''));

describe('node ports', () => {
  it('are one number for a port that is served over TCP and UDP', () => {
    const ports = [
      { name: 'tcp', port: 53 },
      { name: 'udp', port: 53, protocol: 'UDP' },
    ];
    expect(create('dns', { ports }).spec.ports?.map(({ nodePort }) => nodePort)).toEqual([30_000, 30_000]);
  });

  it('asked for are not given to an earlier port of the same Service', () => {
    const ports = [
      { name: 'a', port: 1 },
      { name: 'b', port: 2, nodePort: 30_000 },
    ];
    expect(create('web', { ports }).spec.ports?.map(({ nodePort }) => nodePort)).toEqual([30_001, 30_000]);
  });

  it('that another Service has in any protocol are refused, naming the field', () => {
    create('one', { ports: [{ port: 80, nodePort: 31_000 }] });
    const ports = [{ port: 80, protocol: 'UDP', nodePort: 31_000 }];
    const error = refusal(() => create('two', { ports }));
    expect([error.code, causes(error)]).toEqual([422, ['spec.ports[0].nodePort']]);
    expect(error.message).toContain('provided port is already allocated');
  });

  it('come back to the pool when the Service is deleted, changes its type, or is refused', () => {
    const first = () => create('probe').spec.ports?.[0]?.nodePort;
    create('one');
    registry.delete({ ...at(), name: 'one' });
    refusal(() => create('bad', { ports: [{ port: 0 }] }));
    create('two');
    patch('two', { type: 'ClusterIP' });
    expect(first()).toBe(30_000);
  });

  it('stay when an update leaves them out', () => {
    create('web', { ports: [{ port: 80, nodePort: 31_000 }] });
    expect(patch('web', { ports: [{ port: 81 }] }).spec.ports).toMatchObject([
      { port: 81, nodePort: 31_000 },
    ]);
  });

  it('are not given out under allocateLoadBalancerNodePorts: false, and are once it turns true', () => {
    expect(create('web', { allocateLoadBalancerNodePorts: false }).spec.ports?.[0]?.nodePort).toBeUndefined();
    expect(patch('web', { allocateLoadBalancerNodePorts: true }).spec.ports?.[0]?.nodePort).toBe(30_000);
  });
});

describe('the health check port', () => {
  it('comes with policy Local, and goes with it', () => {
    const { spec } = create('web', { externalTrafficPolicy: 'Local' });
    expect(spec.healthCheckNodePort).toBe(30_001);
    expect(patch('web', { externalTrafficPolicy: 'Cluster' }).spec.healthCheckNodePort).toBeUndefined();
    expect(create('other', { ports: [{ port: 80, nodePort: 30_001 }] }).spec.ports?.[0]?.nodePort).toBe(
      30_001,
    );
  });

  it('asked for may be had when it is free, else it is an internal error', () => {
    create('one', { externalTrafficPolicy: 'Local', healthCheckNodePort: 32_000 });
    const error = refusal(() =>
      create('two', { externalTrafficPolicy: 'Local', healthCheckNodePort: 32_000 }),
    );
    expect(error.code).toBe(500);
  });

  it('cannot change while it is needed', () => {
    create('web', { externalTrafficPolicy: 'Local' });
    expect(causes(refusal(() => patch('web', { healthCheckNodePort: 32_000 })))).toEqual([
      'spec.healthCheckNodePort',
    ]);
  });
});

describe('cluster IPs', () => {
  it('are of the primary family alone, or of both when asked for', () => {
    expect(create('one').spec).toMatchObject({
      ipFamilies: ['IPv4'],
      clusterIPs: ['10.0.0.1'],
      ipFamilyPolicy: 'SingleStack',
    });
    expect(create('two', { ipFamilyPolicy: 'RequireDualStack' }).spec).toMatchObject({
      ipFamilies: ['IPv4', 'IPv6'],
      clusterIPs: ['10.0.0.2', 'fd00::1'],
    });
    expect(create('six', { ipFamilies: ['IPv6'] }).spec).toMatchObject({ clusterIPs: ['fd00::2'] });
  });

  it('of both families cannot be required of a cluster that has one; preferring them is no harm', () => {
    registry = aRegistry(['10.0.0.0/24']);
    const error = refusal(() => create('one', { ipFamilyPolicy: 'RequireDualStack' }));
    expect(causes(error)).toEqual(['spec.ipFamilyPolicy']);
    expect(create('two', { ipFamilyPolicy: 'PreferDualStack' }).spec.clusterIPs).toEqual(['10.0.0.1']);
  });

  it('gain and lose the second family with the policy', () => {
    create('web');
    expect(patch('web', { ipFamilyPolicy: 'PreferDualStack' }).spec.clusterIPs).toEqual([
      '10.0.0.1',
      'fd00::1',
    ]);
    const { spec } = patch('web', { ipFamilyPolicy: 'SingleStack' });
    expect([spec.clusterIPs, spec.ipFamilies]).toEqual([['10.0.0.1'], ['IPv4']]);
  });

  it('asked for must be free and in the range, and may not change', () => {
    create('one', { clusterIP: '10.0.0.9' });
    expect(causes(refusal(() => create('two', { clusterIP: '10.0.0.9' })))).toEqual(['spec.clusterIPs']);
    expect(causes(refusal(() => create('two', { clusterIP: '192.0.2.1' })))).toEqual(['spec.clusterIPs']);
    expect(
      causes(refusal(() => patch('one', { clusterIP: '10.0.0.10', clusterIPs: ['10.0.0.10'] }))),
    ).toEqual(['spec.clusterIPs[0]']);
  });

  it('are none for a headless Service, which has both families when it has no selector', () => {
    const { spec } = create('headless', { type: 'ClusterIP', clusterIP: 'None' });
    expect([spec.clusterIPs, spec.ipFamilies]).toEqual([['None'], ['IPv4', 'IPv6']]);
  });

  it('go and come with the type ExternalName', () => {
    create('web', { type: 'ClusterIP' });
    expect(
      patch('web', { type: 'ExternalName', externalName: 'example.com' }).spec.clusterIP,
    ).toBeUndefined();
    expect(patch('web', { type: 'ClusterIP', externalName: null }).spec.clusterIP).toMatch(/^10\.0\.0\./);
  });
});

describe('a change of type away from LoadBalancer', () => {
  it('clears what belongs to the type, and the addresses but not the conditions', () => {
    create('web', { loadBalancerClass: 'example.com/x' });
    const condition = {
      type: 'a.example/b',
      status: 'True',
      reason: 'R',
      message: '',
      lastTransitionTime: '2024-01-01T00:00:00Z',
    };
    const status = { loadBalancer: { ingress: [{ ip: '192.0.2.1' }] }, conditions: [condition] };
    registry.patch({ ...at(), name: 'web' }, { kind: 'merge', body: { status } }, { status: true });
    const after = patch('web', { type: 'ClusterIP' });
    expect(after.status).toEqual({ loadBalancer: {}, conditions: [condition] });
    expect(Object.keys(after.spec).toSorted()).toEqual([
      'clusterIP',
      'clusterIPs',
      'internalTrafficPolicy',
      'ipFamilies',
      'ipFamilyPolicy',
      'ports',
      'sessionAffinity',
      'type',
    ]);
    expect(after.spec.ports).toEqual([{ port: 80, protocol: 'TCP', targetPort: 80 }]);
  });

  it('is refused when it asks for a node port in the same breath', () => {
    create('web');
    const error = refusal(() => patch('web', { type: 'ClusterIP', ports: [{ port: 80, nodePort: 32_000 }] }));
    expect(causes(error)).toEqual(['spec.ports[0].nodePort']);
  });
});

describe('namespaces', () => {
  const type = namespaces;

  it('take what is in them along, and wait for finalizers', () => {
    create('one');
    registry.create(at(), {
      metadata: { name: 'two', finalizers: ['example.com/a'] },
      spec: { ports: [{ port: 1 }] },
    });
    expect(registry.delete({ type, namespace: '', name: 'shop' }).gone).toBe(false);
    expect(registry.find({ ...at(), name: 'one' })).toBeUndefined();
    expect(refusal(() => create('three')).code).toBe(403);
    registry.patch({ ...at(), name: 'two' }, { kind: 'merge', body: { metadata: { finalizers: null } } });
    expect(registry.find({ type, namespace: '', name: 'shop' })).toBeUndefined();
    expect(refusal(() => create('three')).code).toBe(404);
  });
});
