import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toNode, toPlainObject, toService } from './convert.ts';
import { toLease } from './lease-record.ts';

const metadata = { namespace: 'shop', name: 'web', uid: 'u-1', resourceVersion: '42' };

/** A Service as kubectl would show it. */
const fullService = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: {
    ...metadata,
    creationTimestamp: '2026-01-02T03:04:05Z',
    deletionTimestamp: '2026-01-03T00:00:00Z',
    labels: { app: 'web' },
    annotations: { 'berth.dev/paused': 'true', 'kubectl.kubernetes.io/last-applied-configuration': '{...}' },
    finalizers: ['berth.dev/load-balancer', 'example.com/other'],
    managedFields: [{ manager: 'kubectl' }],
  },
  spec: {
    type: 'LoadBalancer',
    loadBalancerClass: 'berth.dev/local',
    loadBalancerIP: '127.0.0.9',
    loadBalancerSourceRanges: ['10.0.0.0/8'],
    allocateLoadBalancerNodePorts: false,
    ports: [
      { name: 'http', protocol: 'TCP', port: 80, targetPort: 'web', nodePort: 30080, appProtocol: 'http' },
      { protocol: 'UDP', port: 53, targetPort: 5353 },
    ],
    selector: { app: 'web' },
    clusterIP: '10.96.0.7',
    clusterIPs: ['10.96.0.7', 'fd00::7'],
    externalIPs: ['192.0.2.1'],
    externalTrafficPolicy: 'Local',
    healthCheckNodePort: 31000,
    sessionAffinity: 'ClientIP',
    sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } },
    ipFamilies: ['IPv4', 'IPv6'],
    ipFamilyPolicy: 'PreferDualStack',
  },
  status: {
    loadBalancer: {
      ingress: [
        { ip: '127.0.0.9', ipMode: 'Proxy', ports: [{ port: 80, protocol: 'TCP', error: 'PortDenied' }] },
        { hostname: 'lb.example' },
      ],
    },
    conditions: [
      {
        type: 'X',
        status: 'True',
        reason: 'R',
        message: 'M',
        lastTransitionTime: 'T',
        observedGeneration: 3,
      },
    ],
  },
};

describe('toService', () => {
  it('takes over every field that Berth reads, and leaves out the rest', () => {
    expect(toService(fullService)).toEqual({
      ...metadata,
      createdAtMs: Date.UTC(2026, 0, 2, 3, 4, 5),
      deleting: true,
      labels: { app: 'web' },
      annotations: { 'berth.dev/paused': 'true' },
      finalizers: ['berth.dev/load-balancer', 'example.com/other'],
      type: 'LoadBalancer',
      loadBalancerClass: 'berth.dev/local',
      loadBalancerIP: '127.0.0.9',
      loadBalancerSourceRanges: ['10.0.0.0/8'],
      allocateLoadBalancerNodePorts: false,
      ports: [
        { name: 'http', protocol: 'TCP', port: 80, targetPort: 'web', nodePort: 30080, appProtocol: 'http' },
        { protocol: 'UDP', port: 53, targetPort: 5353, nodePort: 0 },
      ],
      selector: { app: 'web' },
      clusterIPs: ['10.96.0.7', 'fd00::7'],
      externalIPs: ['192.0.2.1'],
      externalTrafficPolicy: 'Local',
      healthCheckNodePort: 31000,
      sessionAffinity: 'ClientIP',
      sessionAffinityTimeoutSeconds: 60,
      ipFamilies: ['IPv4', 'IPv6'],
      ipFamilyPolicy: 'PreferDualStack',
      ingress: fullService.status.loadBalancer.ingress,
      conditions: fullService.status.conditions,
    });
  });

  it("gives what is absent the API server's defaults", () => {
    expect(toService({ metadata, spec: { ports: [{ port: 80 }] } })).toEqual({
      ...metadata,
      createdAtMs: 0,
      deleting: false,
      labels: {},
      annotations: {},
      finalizers: [],
      type: 'ClusterIP',
      loadBalancerSourceRanges: [],
      allocateLoadBalancerNodePorts: true,
      ports: [{ protocol: 'TCP', port: 80, targetPort: 80, nodePort: 0 }],
      selector: {},
      clusterIPs: [],
      externalIPs: [],
      externalTrafficPolicy: 'Cluster',
      healthCheckNodePort: 0,
      sessionAffinity: 'None',
      sessionAffinityTimeoutSeconds: 10_800,
      ipFamilies: [],
      ipFamilyPolicy: 'SingleStack',
      ingress: [],
      conditions: [],
    });
  });

  it('keeps garbage in the status visible, so that it can be replaced', () => {
    const service = toService({
      metadata,
      status: { loadBalancer: { ingress: [{ ip: 'rubbish' }, 7, null] } },
    });
    expect(service?.ingress).toEqual([{ ip: 'rubbish' }, {}, {}]);
  });

  it.each([
    ['no object', 'text'],
    ['no metadata', {}],
    ['no namespace', { metadata: { name: 'a', resourceVersion: '1' } }],
    ['no name', { metadata: { namespace: 'a', resourceVersion: '1' } }],
    ['a name that is a number', { metadata: { namespace: 'a', name: 7, resourceVersion: '1' } }],
    ['no resourceVersion', { metadata: { namespace: 'a', name: 'b' } }],
  ])('turns away %s', (_, raw) => {
    expect(toService(raw)).toBeUndefined();
  });

  it('leaves out ports that are none', () => {
    const ports = [
      { port: 0 },
      { port: 70_000 },
      { port: -1 },
      { port: 1.5 },
      { port: '80' },
      null,
      { port: 443 },
    ];
    expect(toService({ metadata, spec: { ports } })?.ports.map((entry) => entry.port)).toEqual([443]);
  });
});

describe('toNode', () => {
  it('takes over what Berth reads', () => {
    const raw = {
      metadata: { name: 'n-1', uid: 'u', resourceVersion: '7', labels: { zone: 'a' }, managedFields: [{}] },
      spec: {
        providerID: 'aws:///eu/i-1',
        taints: [{ key: 'k', value: 'v', effect: 'NoSchedule' }, { effect: 'x' }, 7],
      },
      status: {
        addresses: [
          { type: 'InternalIP', address: '10.0.0.1' },
          { type: 'InternalIP', address: 'FD00:0::1' },
          { type: 'Hostname', address: 'n-1' },
          { type: 'ExternalIP', address: 'not an address' },
          { type: 'ExternalIP', address: '192.0.2.1' },
        ],
        conditions: [
          { type: 'Ready', status: 'True' },
          { type: 'NetworkUnavailable', status: 'True' },
        ],
      },
    };
    expect(toNode(raw)).toEqual({
      name: 'n-1',
      uid: 'u',
      resourceVersion: '7',
      labels: { zone: 'a' },
      taints: [{ key: 'k', value: 'v', effect: 'NoSchedule' }],
      deleting: false,
      providerID: 'aws:///eu/i-1',
      addresses: [
        { type: 'InternalIP', address: '10.0.0.1' },
        { type: 'InternalIP', address: 'fd00::1' },
        { type: 'ExternalIP', address: '192.0.2.1' },
      ],
      ready: 'True',
      networkUnavailable: true,
    });
  });

  it('takes a node without conditions for unknown, not for ready', () => {
    const node = toNode({ metadata: { name: 'n', resourceVersion: '1' } });
    expect(node).toMatchObject({
      ready: 'Unknown',
      networkUnavailable: false,
      providerID: '',
      addresses: [],
    });
  });
});

describe('toPlainObject', () => {
  it('keeps everything but managedFields and the copy of the manifest', () => {
    const annotations = { a: 'b', 'kubectl.kubernetes.io/last-applied-configuration': '{}' };
    const raw = {
      kind: 'IPAddressPool',
      metadata: { ...metadata, annotations, managedFields: [1] },
      spec: { x: [1] },
    };
    expect(toPlainObject(raw)).toEqual({
      kind: 'IPAddressPool',
      metadata: { ...metadata, annotations: { a: 'b' } },
      spec: { x: [1] },
    });
  });
});

describe('hostile input', () => {
  it('is converted or turned away, and never throws, whatever stands in place of any field', () => {
    const paths = leafPaths(fullService);
    fc.assert(
      fc.property(fc.constantFrom(...paths), fc.jsonValue(), (path, garbage) => {
        const raw = structuredClone(fullService);
        replaceAt(raw, path, garbage);
        expectSound(raw);
      }),
      { numRuns: 500 },
    );
    fc.assert(
      fc.property(fc.jsonValue(), (raw) => {
        expectSound(raw);
      }),
    );
    expect(paths.length).toBeGreaterThan(50);
  });

  it('does not reach the prototype of anything', () => {
    const raw: unknown = JSON.parse(
      '{"metadata":{"namespace":"a","name":"b","resourceVersion":"1","labels":{"__proto__":"x","constructor":"y"}}}',
    );
    const service = toService(raw);
    expect(Object.keys(service?.labels ?? {}).toSorted()).toEqual(['__proto__', 'constructor']);
    expect(Object.getPrototypeOf(service?.labels)).toBe(Object.prototype);
  });
});

/** Nothing throws, and what comes out has the types that the model promises, as far as they decide anything. */
function expectSound(raw: unknown): void {
  toPlainObject(raw);
  toLease(raw);
  const node = toNode(raw);
  expect(['string', 'undefined']).toContain(typeof node?.name);
  const service = toService(raw);
  if (service === undefined) return;
  expect(service.namespace).not.toBe('');
  for (const { port, nodePort } of service.ports) expect(port * (nodePort + 1)).toBeGreaterThan(0);
  const texts = [...service.finalizers, ...service.ipFamilies, ...Object.values(service.annotations)];
  for (const text of texts) expect(text).toBeTypeOf('string');
}

/** Paths of all inner and outer values of an object. */
function leafPaths(value: unknown, path: readonly string[] = []): (readonly string[])[] {
  if (typeof value !== 'object' || value === null) return [path];
  const inner = Object.entries(value).flatMap(([key, child]) => leafPaths(child, [...path, key]));
  return path.length === 0 ? inner : [path, ...inner];
}

function replaceAt(root: object, path: readonly string[], value: unknown): void {
  let at = root as Record<string, unknown>;
  for (const key of path.slice(0, -1)) at = at[key] as Record<string, unknown>;
  at[path.at(-1)!] = value;
}
