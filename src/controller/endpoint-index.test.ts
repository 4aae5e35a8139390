import { describe, expect, it } from 'vitest';
import { ip } from '../../test/builders.ts';
import type { EndpointSlice } from '../model/endpoint.ts';
import { EndpointIndex } from './endpoint-index.ts';

function slice(name: string, service: string, ...addresses: readonly string[]): EndpointSlice {
  return {
    namespace: 'default',
    name,
    resourceVersion: '1',
    service,
    endpoints: addresses.map((address) => ({
      address: ip(address),
      node: 'node-1',
      ready: true,
      serving: true,
      terminating: false,
      ports: [],
    })),
  };
}

function addresses(index: EndpointIndex, service: string): readonly string[] {
  return index.of(service).map(({ address }) => address);
}

describe('EndpointIndex', () => {
  it('puts the slices of a Service together', () => {
    const index = new EndpointIndex();
    expect(index.take('added', slice('web-1', 'default/web', '10.0.0.1', '10.0.0.2'))).toEqual([
      'default/web',
    ]);
    index.take('added', slice('web-2', 'default/web', '10.0.0.3'));
    index.take('added', slice('other', 'default/other', '10.0.0.9'));
    expect(addresses(index, 'default/web')).toEqual(['10.0.0.1', '10.0.0.2', '10.0.0.3']);
    expect(addresses(index, 'default/none')).toEqual([]);
  });

  it('replaces a slice that changed, and forgets one that is gone', () => {
    const index = new EndpointIndex();
    const before = slice('web-1', 'default/web', '10.0.0.1');
    index.take('added', before);
    const after = slice('web-1', 'default/web', '10.0.0.2');
    index.take('modified', after, before);
    expect(addresses(index, 'default/web')).toEqual(['10.0.0.2']);
    expect(index.take('deleted', after, after)).toEqual(['default/web']);
    expect(addresses(index, 'default/web')).toEqual([]);
  });

  it('tells both Services of a slice that moves from one to the other', () => {
    const index = new EndpointIndex();
    const before = slice('moving', 'default/one', '10.0.0.1');
    index.take('added', before);
    const concerned = index.take('modified', slice('moving', 'default/two', '10.0.0.1'), before);
    expect([...concerned].toSorted()).toEqual(['default/one', 'default/two']);
    expect(addresses(index, 'default/one')).toEqual([]);
    expect(addresses(index, 'default/two')).toEqual(['10.0.0.1']);
  });
});
