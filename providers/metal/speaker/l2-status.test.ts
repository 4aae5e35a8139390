import { describe, expect, it } from 'vitest';
import type { IpAddress } from '@berth/core';
import { nameFor, planWrites, toL2Status, toRaw, type L2Status, type StatusScene } from './l2-status.ts';

const claim = { addresses: ['192.0.2.1' as IpAddress], epoch: 3, since: '2026-01-01T00:00:00.000Z' };

function aStatus(node: string, service = 'default/web', more: Partial<L2Status> = {}): L2Status {
  return {
    name: nameFor(service, node),
    namespace: 'berth-system',
    node,
    service,
    interfaces: [],
    claim,
    ...more,
  };
}

function writes(more: Partial<StatusScene>): readonly string[] {
  const scene = {
    self: 'n1',
    namespace: 'berth-system',
    wanted: [],
    observed: [],
    live: new Set(['n1', 'n2']),
    services: new Set(['default/web']),
  };
  return planWrites({ ...scene, ...more }).map(
    ({ type, status }) => `${type} ${status.service}@${status.node}`,
  );
}

describe('a ServiceL2Status', () => {
  it('is read as it was written, with the labels that MetalLB gives', () => {
    const status = aStatus('n1', 'default/web', {
      interfaces: ['eth0'],
      conflict: '{"address":"192.0.2.9"}',
    });
    const raw = toRaw(status);
    expect(raw).toMatchObject({
      metadata: {
        labels: {
          'metallb.io/node': 'n1',
          'metallb.io/service-name': 'web',
          'metallb.io/service-namespace': 'default',
        },
      },
      status: { node: 'n1', serviceName: 'web', serviceNamespace: 'default', interfaces: [{ name: 'eth0' }] },
    });
    expect(toL2Status(raw)).toEqual(status);
  });

  it('of MetalLB is read from its status, too', () => {
    const raw = {
      metadata: { name: 'l2-abc', namespace: 'metallb-system' },
      status: { node: 'n1', serviceName: 'web', serviceNamespace: 'default' },
    };
    expect(toL2Status(raw)).toEqual({
      name: 'l2-abc',
      namespace: 'metallb-system',
      node: 'n1',
      service: 'default/web',
      interfaces: [],
    });
  });

  it.each([
    ['nothing', {}],
    ['no node', { metadata: { name: 'x' }, status: { serviceName: 'web', serviceNamespace: 'default' } }],
  ])('that says %s is none', (_what, raw) => {
    expect(toL2Status(raw)).toBeUndefined();
  });

  it.each(['{', 'null', '7', '{"addresses":7,"epoch":1}', '{"addresses":[],"epoch":"1"}'])(
    'with the claim %s is one without',
    (text) => {
      const raw = toRaw(aStatus('n1')) as { metadata: { annotations: Record<string, string> } };
      raw.metadata.annotations['berth.dev/claim'] = text;
      expect(toL2Status(raw)?.claim).toBeUndefined();
    },
  );

  it('has a name that depends on Service and node only, and that an object may have', () => {
    expect(nameFor('default/web', 'n1')).toBe(nameFor('default/web', 'n1'));
    expect(nameFor('default/web', 'n1')).not.toBe(nameFor('default/web', 'n2'));
    expect(nameFor('default/web', 'n1')).toMatch(/^l2-[0-9a-f]{16}$/);
  });
});

describe('B92 the writes of a speaker', () => {
  it('create its object, and nothing when it is there', () => {
    expect(writes({ wanted: [aStatus('n1')] })).toEqual(['create default/web@n1']);
    expect(writes({ wanted: [aStatus('n1')], observed: [aStatus('n1')] })).toEqual([]);
  });

  it('delete those of the former announcer once its own is there, so that one always says who it was', () => {
    expect(writes({ wanted: [aStatus('n1')], observed: [aStatus('n2')] })).toEqual(['create default/web@n1']);
    expect(writes({ wanted: [aStatus('n1')], observed: [aStatus('n1'), aStatus('n2')] })).toEqual([
      'delete default/web@n2',
    ]);
  });

  it('leave the announcer’s object alone when all that is ours is a conflict', () => {
    const { claim: _, ...found } = aStatus('n1', 'default/web', { conflict: '{}' });
    expect(writes({ wanted: [found], observed: [aStatus('n2')] })).toEqual(['create default/web@n1']);
  });

  it('delete its own when it announces no more', () => {
    expect(writes({ observed: [aStatus('n1'), aStatus('n2')] })).toEqual(['delete default/web@n1']);
  });

  it('leave objects in other namespaces alone: those of MetalLB go with its speakers', () => {
    const elsewhere = aStatus('n2', 'default/web', { namespace: 'metallb-system' });
    expect(writes({ wanted: [aStatus('n1')], observed: [aStatus('n1'), elsewhere] })).toEqual([]);
    expect(writes({ observed: [{ ...elsewhere, node: 'n1' }] })).toEqual([]);
  });

  it('follow the claim and the interfaces', () => {
    const changed = aStatus('n1', 'default/web', { claim: { ...claim, epoch: 4 }, interfaces: ['eth1'] });
    expect(writes({ wanted: [changed], observed: [aStatus('n1')] })).toEqual([
      'annotate default/web@n1',
      'status default/web@n1',
    ]);
  });

  it('clear away what a dead node left of a Service that is gone; only the first live node does', () => {
    const observed = [aStatus('n9', 'default/gone')];
    expect(writes({ observed })).toEqual(['delete default/gone@n9']);
    expect(writes({ observed, self: 'n2' })).toEqual([]);
    expect(writes({ observed, live: new Set(['n1', 'n9']) })).toEqual([]);
    expect(writes({ observed: [aStatus('n9')] })).toEqual([]);
  });
});
