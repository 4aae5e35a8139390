/** EndpointSlices (discovery.k8s.io/v1). */
import type { EndpointSliceObject, KubeObject } from '../machinery/objects.ts';
import { kindSchema, resource, type ResourceType } from '../machinery/resource.ts';
import { anything, bool, int, kept, list, object, shown, str, strings, struct } from '../machinery/schema.ts';
import type { FieldErrors } from '../machinery/status.ts';
import { ageColumn, nameColumn } from '../machinery/table.ts';
import { familyOf } from './allocation.ts';

/** core/v1 ObjectReference. */
export const objectReference = object({
  kind: str,
  namespace: str,
  name: str,
  uid: str,
  apiVersion: str,
  resourceVersion: str,
  fieldPath: str,
});

const endpoint = object({
  addresses: shown(list(str), null),
  conditions: struct({ ready: kept(bool), serving: kept(bool), terminating: kept(bool) }),
  hostname: kept(str),
  targetRef: kept(objectReference),
  deprecatedTopology: strings,
  nodeName: kept(str),
  zone: kept(str),
  hints: kept(anything),
});

const slice = (each: KubeObject): EndpointSliceObject => each as EndpointSliceObject;

/** discovery.k8s.io/v1 EndpointSlices. */
export const endpointSlices: ResourceType = resource({
  group: 'discovery.k8s.io',
  plural: 'endpointslices',
  singular: 'endpointslice',
  kind: 'EndpointSlice',
  generation: true,
  schema: kindSchema({
    addressType: shown(str, ''),
    endpoints: shown(list(endpoint), null),
    ports: shown(
      list(object({ name: kept(str), protocol: kept(str), port: kept(int), appProtocol: kept(str) })),
      null,
    ),
  }),
  columns: [
    nameColumn,
    { name: 'AddressType', cell: (each) => slice(each).addressType },
    {
      name: 'Ports',
      cell: (each) => shortList((slice(each).ports ?? []).map(({ port, name }) => `${port ?? name ?? '*'}`)),
    },
    {
      name: 'Endpoints',
      cell: (each) => shortList((slice(each).endpoints ?? []).flatMap(({ addresses }) => addresses)),
    },
    ageColumn,
  ],
  rules: {
    defaults: (next) => {
      for (const port of slice(next).ports ?? []) {
        port.protocol ??= 'TCP';
        port.name ??= '';
      }
    },
    validate: (next, errors, previous) => validateSlice(slice(next), errors, previous && slice(previous)),
  },
});

function validateSlice(next: EndpointSliceObject, errors: FieldErrors, previous?: EndpointSliceObject): void {
  const { addressType } = next;
  if (addressType === '') errors.required('addressType');
  else errors.oneOf('addressType', addressType, ['FQDN', 'IPv4', 'IPv6']);
  if (previous && previous.addressType !== addressType) {
    errors.invalid('addressType', addressType, 'field is immutable');
  }
  for (const [index, { addresses }] of (next.endpoints ?? []).entries()) {
    const field = `endpoints[${index}].addresses`;
    if (!addresses?.length) errors.required(field, 'must contain at least 1 address');
    const wrong = (addresses ?? []).find(
      (address) => addressType !== 'FQDN' && familyOf(address) !== addressType,
    );
    if (wrong !== undefined) errors.invalid(field, wrong, `must be an ${addressType} address`);
  }
}

/** Three items, then how many there are beyond them; `<unset>` for none. */
function shortList(items: readonly string[]): string {
  if (items.length === 0) return '<unset>';
  const shown = items.slice(0, 3).join(',');
  return items.length > 3 ? `${shown} + ${items.length - 3} more...` : shown;
}
