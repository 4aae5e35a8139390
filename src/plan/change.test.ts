import { describe, expect, it } from 'vitest';
import { aPort, aService } from '../../test/builders.ts';
import { CONDITION, FINALIZER } from '../model/names.ts';
import type { Condition, Service, ServicePort } from '../model/service.ts';
import { readsAnnotation, serviceFingerprint, tracesOf, traceText, type ChangeContext } from './change.ts';

const SETTING = 'example.com/timeout';
const context: ChangeContext = { settings: new Set([SETTING]), sharing: false };
const differs = (from: Partial<Service>, to: Partial<Service>, within = context): boolean =>
  serviceFingerprint(aService(from), within) !== serviceFingerprint(aService(to), within);

/** Every field of a Service: a change of it, and whether it is worth a pass. A field that is added must be decided on. */
const FIELDS: Readonly<Record<keyof Service, readonly [change: Partial<Service>, matters: boolean]>> = {
  namespace: [{ namespace: 'default' }, false],
  name: [{ name: 'web' }, false],
  uid: [{ uid: 'another' }, true],
  resourceVersion: [{ resourceVersion: '2' }, false],
  createdAtMs: [{ createdAtMs: 1 }, false],
  deleting: [{ deleting: true }, true],
  labels: [{ labels: { tier: 'front' } }, false],
  annotations: [{ annotations: { [SETTING]: '1' } }, true],
  finalizers: [{ finalizers: ['example.com/other'] }, false],
  type: [{ type: 'NodePort' }, true],
  loadBalancerClass: [{ loadBalancerClass: 'berth.dev/local' }, true],
  loadBalancerIP: [{ loadBalancerIP: '192.0.2.1' }, true],
  loadBalancerSourceRanges: [{ loadBalancerSourceRanges: ['192.0.2.0/24'] }, true],
  allocateLoadBalancerNodePorts: [{ allocateLoadBalancerNodePorts: false }, true],
  ports: [{ ports: [aPort(), aPort({ port: 81 })] }, true],
  selector: [{ selector: { app: 'other' } }, false],
  clusterIPs: [{ clusterIPs: ['None'] }, true],
  externalIPs: [{ externalIPs: ['192.0.2.1'] }, true],
  externalTrafficPolicy: [{ externalTrafficPolicy: 'Local' }, true],
  healthCheckNodePort: [{ healthCheckNodePort: 30_100 }, true],
  sessionAffinity: [{ sessionAffinity: 'ClientIP' }, true],
  sessionAffinityTimeoutSeconds: [{ sessionAffinityTimeoutSeconds: 1 }, true],
  ipFamilies: [{ ipFamilies: ['IPv4', 'IPv6'] }, true],
  ipFamilyPolicy: [{ ipFamilyPolicy: 'PreferDualStack' }, true],
  // What Berth itself writes is compared by its traces, below.
  ingress: [{ ingress: [{ ip: '192.0.2.1', ipMode: 'VIP' }] }, false],
  conditions: [{ conditions: [aCondition()] }, false],
};

const PORT_FIELDS: Readonly<Record<keyof ServicePort, Partial<ServicePort>>> = {
  name: { name: 'other' },
  protocol: { protocol: 'UDP' },
  port: { port: 81 },
  targetPort: { targetPort: 8081 },
  nodePort: { nodePort: 30_081 },
  appProtocol: { appProtocol: 'http' },
};

function aCondition(overrides: Partial<Condition> = {}): Condition {
  return {
    type: CONDITION,
    status: 'True',
    reason: 'Provisioned',
    message: 'it is there',
    lastTransitionTime: '2030-01-01T00:00:00Z',
    ...overrides,
  };
}

describe('serviceFingerprint', () => {
  it.each(Object.entries(FIELDS).filter(([, [, matters]]) => matters))(
    'B22 a change of %s triggers a pass',
    (_field, [change]) => {
      expect(differs({}, change)).toBe(true);
    },
  );

  it.each(Object.entries(FIELDS).filter(([, [, matters]]) => !matters))(
    'B24 a change of %s alone triggers nothing',
    (_field, [change]) => {
      expect(differs({}, change)).toBe(false);
    },
  );

  it.each(Object.entries(PORT_FIELDS))('B22 a change of a port’s %s triggers a pass', (_field, change) => {
    expect(differs({}, { ports: [aPort(change)] })).toBe(true);
  });

  it('B23 an identical object triggers nothing, also when its annotations come in another order', () => {
    expect(differs({}, {})).toBe(false);
    const annotations = { [SETTING]: '1', 'berth.dev/paused': 'true' };
    expect(
      differs({ annotations }, { annotations: Object.fromEntries(Object.entries(annotations).toReversed()) }),
    ).toBe(false);
  });

  it('B24 an annotation that nobody of ours reads triggers nothing', () => {
    expect(differs({}, { annotations: { 'example.com/note': 'x' } })).toBe(false);
    expect(differs({}, { annotations: { 'xberth.dev/paused': 'true' } })).toBe(false);
  });

  it('B26 the selector matters where addresses are shared', () => {
    const shared = { ...context, sharing: true };
    expect(differs({}, { selector: { app: 'other' } }, shared)).toBe(true);
    expect(differs({ selector: { a: '1', b: '2' } }, { selector: { b: '2', a: '1' } }, shared)).toBe(false);
  });
});

describe('readsAnnotation', () => {
  it.each([
    ['berth.dev/paused', true],
    ['berth.dev/misspelt', true],
    ['local.berth.dev/proxy-protocol', true],
    ['service.beta.kubernetes.io/load-balancer-source-ranges', true],
    ['metallb.io/loadBalancerIPs', true],
    [SETTING, true],
    ['example.com/other', false],
    ['kubectl.kubernetes.io/last-applied-configuration', false],
  ])('%s: %s', (key, expected) => {
    expect(readsAnnotation(key, context.settings)).toBe(expected);
  });
});

describe('traces', () => {
  const written: Partial<Service> = {
    finalizers: [FINALIZER],
    ingress: [{ ip: '192.0.2.1', ipMode: 'VIP', ports: [{ port: 80, protocol: 'TCP' }] }],
    conditions: [aCondition()],
  };
  const text = (overrides: Partial<Service>): string =>
    traceText(tracesOf(aService({ ...written, ...overrides })));

  it.each([
    ['the finalizer was taken away', { finalizers: [] }],
    ['the ingress was emptied', { ingress: [] }],
    ['another ip', { ingress: [{ ip: '192.0.2.2', ipMode: 'VIP', ports: [{ port: 80, protocol: 'TCP' }] }] }],
    ['a host name', { ingress: [{ ...written.ingress?.[0], hostname: 'lb.example.com' }] }],
    ['another ipMode', { ingress: [{ ...written.ingress?.[0], ipMode: 'Proxy' }] }],
    ['no ports', { ingress: [{ ip: '192.0.2.1', ipMode: 'VIP' }] }],
    [
      'a port error',
      { ingress: [{ ...written.ingress?.[0], ports: [{ port: 80, protocol: 'TCP', error: 'X' }] }] },
    ],
    ['the condition was taken away', { conditions: [] }],
    ['the condition says something else', { conditions: [aCondition({ reason: 'Other' })] }],
  ] satisfies [string, Partial<Service>][])('differ when %s', (_what, change) => {
    expect(text(change)).not.toBe(text({}));
  });

  it.each([
    ['another’s finalizer', { finalizers: [FINALIZER, 'example.com/other'] }],
    ['another’s condition', { conditions: [aCondition({ type: 'example.com/Other' }), aCondition()] }],
    [
      'the time of our condition',
      { conditions: [aCondition({ lastTransitionTime: '2031-01-01T00:00:00Z' })] },
    ],
    [
      'the order of keys',
      { ingress: [{ ports: [{ protocol: 'TCP', port: 80 }], ipMode: 'VIP', ip: '192.0.2.1' }] },
    ],
  ] satisfies [string, Partial<Service>][])('are the same whatever %s', (_what, change) => {
    expect(text(change)).toBe(text({}));
  });
});
