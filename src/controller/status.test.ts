import { describe, expect, it } from 'vitest';
import { aLoadBalancer, aPort, aService } from '../../test/builders.ts';
import { CONDITION } from '../model/names.ts';
import { ingressOf, verdictOf } from './status.ts';

describe('ingressOf', () => {
  const loadBalancer = aLoadBalancer({
    ports: [aPort({ port: 443 }), aPort({ port: 53, protocol: 'UDP' }), aPort({ port: 53 })],
  });

  it('gives every entry all ports, in the order of their numbers and protocols', () => {
    const ingress = ingressOf(
      { kind: 'ready', ingress: [{ ip: '192.0.2.1', ipMode: 'Proxy' }, { hostname: 'lb.test' }] },
      { loadBalancer, portErrors: [], notes: [] },
    );
    const ports = [
      { port: 53, protocol: 'TCP' },
      { port: 53, protocol: 'UDP' },
      { port: 443, protocol: 'TCP' },
    ];
    expect(ingress).toEqual([
      { ip: '192.0.2.1', ipMode: 'Proxy', ports },
      { hostname: 'lb.test', ports },
    ]);
  });

  it('names the error of each port that does not work, those of the core and those of the provider', () => {
    const [entry] = ingressOf(
      {
        kind: 'ready',
        ingress: [{ ip: '192.0.2.1', ipMode: 'VIP' }],
        portErrors: [{ port: 443, protocol: 'TCP', error: 'PortDenied' }],
      },
      {
        loadBalancer,
        portErrors: [{ port: 9, protocol: 'SCTP', error: 'ProtocolUnsupported' }],
        notes: [],
      },
    );
    expect(entry?.ports).toEqual([
      { port: 9, protocol: 'SCTP', error: 'ProtocolUnsupported' },
      { port: 53, protocol: 'TCP' },
      { port: 53, protocol: 'UDP' },
      { port: 443, protocol: 'TCP', error: 'PortDenied' },
    ]);
  });

  it('is empty when there is no entry', () => {
    expect(ingressOf({ kind: 'ready', ingress: [] }, { loadBalancer, portErrors: [], notes: [] })).toEqual(
      [],
    );
  });
});

describe('verdictOf', () => {
  it('is our condition among those of others', () => {
    const condition = { status: 'True', reason: 'Fine', message: '', lastTransitionTime: '' } as const;
    const ours = { ...condition, type: CONDITION, reason: 'Provisioned' };
    const service = aService({ conditions: [{ ...condition, type: 'example.com/Other' }, ours] });
    expect(verdictOf(service)).toBe(ours);
    expect(verdictOf(aService())).toBeUndefined();
  });
});
