import { describe, expect, it } from 'vitest';
import { aService } from '../../test/builders.ts';
import { DEFAULT_CAPABILITIES, type Capabilities } from '../model/capabilities.ts';
import type { IpFamily } from '../model/address.ts';
import type { Service } from '../model/service.ts';
import { addressRequest, familiesOf, requestedAddresses } from './addresses.ts';

const able: Capabilities = {
  ...DEFAULT_CAPABILITIES,
  loadBalancerIP: 'honoured',
  families: ['IPv4', 'IPv6'],
};
const ours = 'berth.dev/load-balancer-ips';

describe('familiesOf', () => {
  it.each<[string, Partial<Service>, readonly IpFamily[]]>([
    ['the Service’s families, in its order', { ipFamilies: ['IPv6', 'IPv4'] }, ['IPv6', 'IPv4']],
    ['IPv4 for a Service that says nothing', { ipFamilies: [] }, ['IPv4']],
  ])('gives %s', (_what, service, expected) => {
    expect(familiesOf(aService(service), able)).toEqual(expected);
  });

  it('gives what is served of a preferred dual stack', () => {
    const service = aService({ ipFamilies: ['IPv6', 'IPv4'], ipFamilyPolicy: 'PreferDualStack' });
    expect(familiesOf(service, { ...able, families: ['IPv4'] })).toEqual(['IPv4']);
  });

  it.each([
    ['a required dual stack', { ipFamilies: ['IPv4', 'IPv6'], ipFamilyPolicy: 'RequireDualStack' }],
    ['a single family', { ipFamilies: ['IPv6'] }],
    [
      'a preferred dual stack of which nothing is served',
      { ipFamilies: ['IPv6'], ipFamilyPolicy: 'PreferDualStack' },
    ],
  ] as const)('refuses %s that the provider cannot serve, naming both', (_what, service) => {
    const attempt = (): unknown => familiesOf(aService(service), { ...able, families: ['IPv4'] });
    expect(attempt).toThrow(expect.objectContaining({ kind: 'Unsupported', code: 'FamilyUnsupported' }));
    expect(attempt).toThrow(/IPv6, the provider serves IPv4\..*use another provider\.$/);
  });
});

describe('requestedAddresses', () => {
  it.each([
    ['the field', { loadBalancerIP: '192.0.2.7' }, ['192.0.2.7']],
    ['our annotation', { annotations: { [ours]: '192.0.2.7' } }, ['192.0.2.7']],
    ['MetalLB’s annotation', { annotations: { 'metallb.io/loadBalancerIPs': '192.0.2.7' } }, ['192.0.2.7']],
    [
      'MetalLB’s old annotation',
      { annotations: { 'metallb.universe.tf/loadBalancerIPs': '192.0.2.7' } },
      ['192.0.2.7'],
    ],
    ['kube-vip’s annotation', { annotations: { 'kube-vip.io/loadbalancerIPs': '192.0.2.7' } }, ['192.0.2.7']],
    [
      'an annotation with one address for each family, in any form',
      { annotations: { [ours]: ' 2001:DB8:0::7 , 192.0.2.7' }, ipFamilies: ['IPv4', 'IPv6'] },
      ['2001:db8::7', '192.0.2.7'],
    ],
    ['nobody', { loadBalancerIP: '', annotations: { [ours]: ' ' } }, []],
  ] as const)('B56 reads what is asked for by %s', (_what, service, expected) => {
    expect(requestedAddresses(aService(service), able)).toEqual({ requested: expected, notes: [] });
  });

  it('B57 refuses a request in both field and annotation', () => {
    const service = aService({ loadBalancerIP: '192.0.2.7', annotations: { [ours]: '192.0.2.7' } });
    expect(() => requestedAddresses(service, able)).toThrow(
      expect.objectContaining({ kind: 'InvalidSpec', code: 'AddressRequestConflict' }),
    );
  });

  it.each([
    ['is not an IP', { loadBalancerIP: '192.0.2.300' }, '"192.0.2.300"'],
    ['is a list with an empty entry', { annotations: { [ours]: '192.0.2.1,' } }, ours],
    [
      'is a list in the field, which takes one',
      { loadBalancerIP: '192.0.2.1,192.0.2.2' },
      '192.0.2.1,192.0.2.2',
    ],
    ['is a host name', { annotations: { [ours]: 'lb.example.com' } }, '"lb.example.com"'],
    ['is of a family that the Service has not', { loadBalancerIP: '2001:db8::1' }, 'the Service has IPv4'],
    [
      'asks for two of one family',
      { annotations: { [ours]: '192.0.2.1,192.0.2.2' } },
      '192.0.2.1, 192.0.2.2',
    ],
  ] as const)('B58 refuses a request that %s, naming it', (_what, service, named) => {
    const attempt = (): unknown => requestedAddresses(aService(service), able);
    expect(attempt).toThrow(expect.objectContaining({ kind: 'InvalidSpec', code: 'InvalidLoadBalancerIP' }));
    expect(attempt).toThrow(named);
  });

  it.each([
    ['the field', { loadBalancerIP: '192.0.2.7' }],
    ['an annotation', { annotations: { [ours]: '192.0.2.7' } }],
    ['both', { loadBalancerIP: '192.0.2.7', annotations: { [ours]: '192.0.2.8' } }],
    ['something that is not an address', { loadBalancerIP: 'none' }],
  ] as const)(
    'ignores a request by %s where the provider cannot give it: a note, and nothing fails',
    (_what, service) => {
      const { requested, notes } = requestedAddresses(aService(service), {
        ...able,
        loadBalancerIP: 'ignored',
      });
      expect(requested).toEqual([]);
      expect(notes.length).toBeGreaterThan(0);
      for (const { code, message } of notes) {
        expect(code).toBe('LoadBalancerIPIgnored');
        expect(message).toContain('use a provider that honours it');
      }
    },
  );
});

describe('addressRequest', () => {
  it('carries the Service’s age and whether it needs every family', () => {
    const service = aService({
      createdAtMs: 7,
      ipFamilies: ['IPv4', 'IPv6'],
      ipFamilyPolicy: 'RequireDualStack',
    });
    expect(addressRequest(service, able)).toEqual({
      key: 'default/web',
      uid: 'uid-of-web',
      createdAtMs: 7,
      families: ['IPv4', 'IPv6'],
      allFamilies: true,
      requested: [],
      namespace: 'default',
      labels: {},
      pool: undefined,
      sharing: undefined,
    });
    expect(addressRequest(aService({ ipFamilyPolicy: 'PreferDualStack' }), able).allFamilies).toBe(false);
  });
});
