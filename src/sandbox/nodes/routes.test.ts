import { describe, expect, it } from 'vitest';
import type { EndpointSliceObject, ServiceObject } from '../machinery/objects.ts';
import { Balancer } from './balancer.ts';
import { backendPort } from './endpoints.ts';
import { type PortRoute, routesOf, slicesByService } from './routes.ts';

function aService(spec: Partial<ServiceObject['spec']> = {}): ServiceObject {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { namespace: 'shop', name: 'web' },
    spec: {
      type: 'LoadBalancer',
      ports: [{ protocol: 'TCP', port: 80, targetPort: 8080, nodePort: 30_080 }],
      ...spec,
    },
    status: { loadBalancer: {} },
  };
}

function aSlice(parts: Partial<EndpointSliceObject> = {}): EndpointSliceObject {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { namespace: 'shop', name: 'web-1', labels: { 'kubernetes.io/service-name': 'web' } },
    addressType: 'IPv4',
    endpoints: [
      { addresses: ['10.0.0.1'], nodeName: 'a', conditions: { ready: true } },
      { addresses: ['10.0.0.2'], nodeName: 'b', conditions: {} },
      { addresses: ['10.0.0.3'], nodeName: 'b', conditions: { ready: false } },
    ],
    ports: [{ name: '', port: 8080, protocol: 'TCP' }],
    ...parts,
  };
}

const routes = (service: ServiceObject, slices: EndpointSliceObject[], node = 'a') =>
  routesOf(node, [service], slicesByService(slices));

const targets = ({ ports }: { ports: readonly PortRoute[] }) =>
  ports.flatMap(({ endpoints }) => endpoints.map(({ address, port }) => `${address}:${port}`));

describe('routesOf', () => {
  it('sends a node port to all endpoints that are not unready', () => {
    expect(targets(routes(aService(), [aSlice()]))).toEqual(['10.0.0.1:8080', '10.0.0.2:8080']);
  });

  it("sends it to the node's own endpoints under policy Local, and counts them for the health check", () => {
    const service = aService({ externalTrafficPolicy: 'Local', healthCheckNodePort: 31_000 });
    const at = routes(service, [aSlice()], 'b');
    expect(targets(at)).toEqual(['10.0.0.2:8080']);
    expect(at.health).toEqual([
      { port: 31_000, service: { namespace: 'shop', name: 'web' }, localEndpoints: 1 },
    ]);
    const nowhere = routes(service, [aSlice()], 'c');
    expect([nowhere.ports, nowhere.health[0]?.localEndpoints]).toEqual([[], 0]);
  });

  it('leaves out ports without node port, without endpoints, and of protocols that are not carried', () => {
    const port = { protocol: 'TCP', port: 80, targetPort: 80 } as const;
    expect(routes(aService({ ports: [port] }), [aSlice()]).ports).toEqual([]);
    expect(routes(aService(), []).ports).toEqual([]);
    expect(routes(aService(), [aSlice({ endpoints: null, ports: null })]).ports).toEqual([]);
    expect(
      routes(aService({ ports: [{ ...port, protocol: 'SCTP', nodePort: 30_080 }] }), [aSlice()]).ports,
    ).toEqual([]);
  });

  it('joins ports by name and protocol, over all slices of the Service', () => {
    const ports = [
      { name: 'web', protocol: 'TCP', port: 80, targetPort: 'web', nodePort: 30_080 },
      { name: 'dns', protocol: 'UDP', port: 53, targetPort: 'dns', nodePort: 30_053 },
    ] as const;
    const endpoints = (address: string) => [{ addresses: [address], nodeName: 'a' }];
    const slices = [
      aSlice({ endpoints: endpoints('10.0.0.1'), ports: [{ name: 'web', port: 1, protocol: 'TCP' }] }),
      aSlice({ endpoints: endpoints('10.0.0.2'), ports: [{ name: 'dns', port: 2, protocol: 'UDP' }] }),
    ];
    expect(targets(routes(aService({ ports: [...ports] }), slices))).toEqual(['10.0.0.1:1', '10.0.0.2:2']);
  });
});

describe('Balancer', () => {
  const route: PortRoute = {
    protocol: 'TCP',
    nodePort: 30_080,
    keepsClientAddress: false,
    affinitySeconds: 0,
    endpoints: ['a', 'b', 'c'].map((address) => ({ address, port: 1, nodeName: address })),
  };
  const picks = (balancer: Balancer, count: number, client = 'x') =>
    Array.from({ length: count }, () => balancer.pick(client)?.address).join('');

  it('takes endpoints in turn, from where it is told to begin', () => {
    expect(picks(new Balancer(route, 0), 5)).toBe('abcab');
    expect(picks(new Balancer(route, 1), 3)).toBe('bca');
  });

  it('has none to give when there is none', () => {
    expect(new Balancer({ ...route, endpoints: [] }, 0).pick('x')).toBeUndefined();
  });

  it('keeps a client until its time is over or its endpoint is gone', () => {
    let now = 0;
    const sticky = { ...route, affinitySeconds: 10 };
    const balancer = new Balancer(sticky, 0, () => now);
    expect(picks(balancer, 3, 'x') + picks(balancer, 2, 'y')).toBe('aaabb');
    now = 10_001;
    expect(picks(balancer, 2, 'x')).toBe('cc');
    balancer.update({ ...sticky, endpoints: route.endpoints.slice(0, 2) });
    expect(picks(balancer, 1, 'x')).not.toBe('c');
  });
});

describe('backendPort', () => {
  it.each([
    [8080, 8080],
    [80, 20_080],
    ['http', 8080],
  ])('serves target port %s at %d', (targetPort, port) => {
    expect(backendPort({ targetPort })).toBe(port);
  });
});
