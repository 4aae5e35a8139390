import { describe, expect, it } from 'vitest';
import type { ClusterApi, EndpointSlice, LiveList, Log, Node, Service } from '@berth/core';
import { aServiceAt } from '../../../test/builders.ts';
import { configSchema } from '../config.ts';
import { ClusterWatch } from './cluster.ts';

/** A list that is filled by hand. */
function aList<T>(): LiveList<T> & { items: T[] } {
  const list = {
    items: [] as T[],
    synced: Promise.resolve(),
    isConnected: true,
    list: () => [...list.items],
    put: () => undefined,
  };
  return list;
}

const silent = { error: () => undefined } as unknown as Log;

function aWatch(): {
  services: Service[];
  slices: EndpointSlice[];
  nodes: Node[];
  view: () => ReturnType<ClusterWatch['view']>;
} {
  const [services, nodes, slices] = [aList<Service>(), aList<Node>(), aList<EndpointSlice>()];
  const api = {
    services: () => services,
    nodes: () => nodes,
    endpointSlices: () => slices,
    objects: () => aList(),
  } as unknown as ClusterApi;
  const config = configSchema.parse({ pools: [{ name: 'lab', addresses: ['192.0.2.0/24'] }] });
  const settings = { config, classes: [], ignoreExcludeLabel: false, log: silent };
  const watch = new ClusterWatch(api, settings, () => undefined);
  const facts = { interfaces: [], macs: [] };
  return {
    services: services.items,
    slices: slices.items,
    nodes: nodes.items,
    view: () => watch.view(() => facts),
  };
}

describe('the view of the cluster', () => {
  it('is the same object while nothing changes that it is made of', () => {
    const { services, slices, view } = aWatch();
    services.push(aServiceAt('a', ['192.0.2.1']));
    const before = view();
    expect([...before.keys()]).toEqual(['192.0.2.1']);
    services.push(aServiceAt('b', []));
    slices.push({ service: 'default/b', endpoints: [] } as unknown as EndpointSlice);
    expect(view()).toBe(before);
  });

  it('is made anew when a Service gets an address, changes, or goes', () => {
    const { services, view } = aWatch();
    services.push(aServiceAt('a', []));
    const views = [view()];
    services[0] = aServiceAt('a', ['192.0.2.1']);
    views.push(view());
    services[0] = aServiceAt('a', ['192.0.2.1']);
    views.push(view());
    services.pop();
    views.push(view());
    expect(new Set(views).size).toBe(4);
    expect(views.map(({ size }) => size)).toEqual([0, 1, 1, 0]);
  });

  it('is made anew when a node or the slice of a Service with an address changes', () => {
    const { services, slices, nodes, view } = aWatch();
    services.push(aServiceAt('a', ['192.0.2.1']));
    const views = [view()];
    nodes.push({ name: 'n1', labels: {}, taints: [], addresses: [], ready: 'True' } as unknown as Node);
    views.push(view());
    slices.push({ service: 'default/a', endpoints: [] } as unknown as EndpointSlice);
    views.push(view());
    expect(new Set(views).size).toBe(3);
  });
});
