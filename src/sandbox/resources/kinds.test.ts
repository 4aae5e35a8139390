import { beforeEach, describe, expect, it } from 'vitest';
import type { JsonObject, KubeObject } from '../machinery/objects.ts';
import { Registry } from '../machinery/registry.ts';
import type { ResourceType } from '../machinery/resource.ts';
import { Store } from '../machinery/store.ts';
import { endpointSlices } from './endpointslice.ts';
import { events } from './event.ts';
import { namespaces } from './namespace.ts';
import { nodes } from './node.ts';
import { leases, secrets } from './plain.ts';

let registry: Registry;

beforeEach(() => {
  const types = [namespaces, nodes, endpointSlices, events, leases, secrets];
  registry = new Registry({
    types,
    store: new Store({ historySize: 100 }),
    now: () => 0,
    random: Math.random,
  });
  registry.create({ type: namespaces, namespace: '' }, { metadata: { name: 'shop' } });
});

function create(type: ResourceType, body: JsonObject): KubeObject {
  return registry.create(
    { type, namespace: type.namespaced ? 'shop' : '' },
    { metadata: { name: 'x' }, ...body },
  );
}

const causes = (type: ResourceType, body: JsonObject): string[] => {
  try {
    create(type, body);
    return [];
  } catch (error) {
    return (
      (error as { details?: { causes?: { field: string }[] } }).details?.causes?.map(
        ({ field }) => field,
      ) ?? ['?']
    );
  }
};

describe('EndpointSlices', () => {
  it('show empty lists as null, as Go does', () => {
    expect(create(endpointSlices, { addressType: 'IPv4', endpoints: [] })).toMatchObject({
      endpoints: null,
      ports: null,
    });
  });

  it('count changes in their generation', () => {
    create(endpointSlices, { addressType: 'IPv4' });
    const ref = { type: endpointSlices, namespace: 'shop', name: 'x' };
    const patch = (body: JsonObject) => registry.patch(ref, { kind: 'merge', body }).metadata.generation;
    expect(patch({ metadata: { labels: { a: 'b' } } })).toBe(1);
    expect(patch({ endpoints: [{ addresses: ['192.0.2.1'] }] })).toBe(2);
  });

  it.each<[JsonObject, string]>([
    [{}, 'addressType'],
    [{ addressType: 'IPv5' }, 'addressType'],
    [{ addressType: 'IPv4', endpoints: [{ addresses: [] }] }, 'endpoints[0].addresses'],
    [{ addressType: 'IPv4', endpoints: [{ addresses: ['fd00::1'] }] }, 'endpoints[0].addresses'],
  ])('%j is refused because of %s', (body, field) => {
    expect(causes(endpointSlices, body)).toContain(field);
  });
});

describe('Events', () => {
  const involvedObject = { namespace: 'shop', kind: 'Service', name: 'web' };

  it('show times that are not set as null', () => {
    expect(create(events, { involvedObject })).toMatchObject({
      firstTimestamp: null,
      lastTimestamp: null,
      eventTime: null,
    });
  });

  it('with eventTime must say who reports what', () => {
    const eventTime = '2024-01-01T00:00:00.000000Z';
    const demanded = ['reportingComponent', 'reportingInstance', 'action', 'reason'];
    expect(causes(events, { involvedObject, eventTime })).toEqual(demanded);
    const complete = Object.fromEntries(demanded.map((field) => [field, 'a.example/b']));
    expect(causes(events, { involvedObject, eventTime, ...complete })).toEqual([]);
  });

  it('live in the namespace of what they are about', () => {
    expect(causes(events, { involvedObject: { namespace: 'other' } })).toEqual(['involvedObject.namespace']);
  });
});

describe('Nodes', () => {
  it('are tainted not-ready by admission, and have their node info spelled out', () => {
    expect(create(nodes, {})).toMatchObject({
      spec: { taints: [{ key: 'node.kubernetes.io/not-ready', effect: 'NoSchedule' }] },
      status: { nodeInfo: { kubeletVersion: '' }, daemonEndpoints: { kubeletEndpoint: { Port: 0 } } },
    });
  });

  it('keep a providerID once it is set', () => {
    create(nodes, {});
    const patch = (providerID: string | null) =>
      registry.patch(
        { type: nodes, namespace: '', name: 'x' },
        { kind: 'merge', body: { spec: { providerID } } },
      );
    patch('sandbox://x');
    expect(() => patch('sandbox://y')).toThrow('spec.providerID');
    expect(() => patch(null)).toThrow('spec.providerID');
  });
});

describe('Leases and Secrets', () => {
  it('a Lease is not overwritten blindly', () => {
    create(leases, { spec: { holderIdentity: 'a' } });
    const ref = { type: leases, namespace: 'shop', name: 'x' };
    const body = { metadata: { name: 'x' }, spec: { holderIdentity: 'b' } };
    expect(() => registry.update(ref, body)).toThrow('metadata.resourceVersion');
    const { resourceVersion } = registry.get(ref).object.metadata;
    const next = registry.update(ref, {
      ...body,
      metadata: { name: 'x', resourceVersion: resourceVersion! },
    });
    expect(next.object['spec']).toEqual({ holderIdentity: 'b' });
  });

  it('a Secret takes plain text and keeps base64', () => {
    const secret = create(secrets, { data: { a: 'YQ==' }, stringData: { b: 'b' } });
    expect(secret['data']).toEqual({ a: 'YQ==', b: 'Yg==' });
    expect(secret).not.toHaveProperty('stringData');
  });
});

describe('namespaces', () => {
  it('that every cluster has cannot be deleted', () => {
    registry.create({ type: namespaces, namespace: '' }, { metadata: { name: 'default' } });
    expect(() => registry.delete({ type: namespaces, namespace: '', name: 'default' })).toThrow(
      'may not be deleted',
    );
  });
});
