import { parseIp } from '../model/address.ts';
import type { Endpoint, EndpointPort, EndpointSlice } from '../model/endpoint.ts';
import type { Protocol } from '../model/service.ts';
import { count, list, oneOf, record, text, texts, textMap } from './raw.ts';

const PROTOCOLS: readonly Protocol[] = ['TCP', 'UDP', 'SCTP'];
const SERVICE_LABEL = 'kubernetes.io/service-name';

/**
 * A discovery.k8s.io/v1 EndpointSlice as the model has it; `undefined` if it belongs to no Service. Conditions that
 * are absent count as the API says: ready and serving are true, terminating is false. Entries without an IP are left
 * out.
 */
export function toEndpointSlice(raw: unknown): EndpointSlice | undefined {
  const object = record(raw);
  const metadata = record(object['metadata']);
  const namespace = text(metadata['namespace']);
  const name = text(metadata['name']);
  const service = textMap(metadata['labels'])[SERVICE_LABEL] ?? '';
  if (namespace === '' || name === '' || service === '') return undefined;
  const ports = list(object['ports']).map(toPort);
  return {
    namespace,
    name,
    resourceVersion: text(metadata['resourceVersion']),
    service: `${namespace}/${service}`,
    endpoints: list(object['endpoints']).flatMap((entry) => toEndpoints(entry, ports)),
  };
}

function toPort(raw: unknown): EndpointPort {
  const port = record(raw);
  return {
    name: text(port['name']),
    protocol: oneOf(port['protocol'], PROTOCOLS, 'TCP'),
    port: count(port['port']),
  };
}

function toEndpoints(raw: unknown, ports: readonly EndpointPort[]): readonly Endpoint[] {
  const entry = record(raw);
  const conditions = record(entry['conditions']);
  const ready = conditions['ready'] !== false;
  return texts(entry['addresses']).flatMap((address) => {
    const ip = parseIp(address);
    if (ip === undefined) return [];
    return [
      {
        address: ip,
        node: text(entry['nodeName']),
        ready,
        serving: conditions['serving'] === undefined ? ready : conditions['serving'] === true,
        terminating: conditions['terminating'] === true,
        ports,
      },
    ];
  });
}
