/** EndpointSlices (discovery.k8s.io/v1). */
import type { EndpointSliceObject, KubeObject } from '../machinery/objects.ts';
import { kindSchema, resource, type ResourceType } from '../machinery/resource.ts';
import { anything, bool, int, kept, list, object, str, strings, struct } from '../machinery/schema.ts';
import type { FieldErrors } from '../machinery/status.ts';
import { ageColumn, nameColumn } from '../machinery/table.ts';

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
  addresses: kept(list(str)),
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
    addressType: str,
    endpoints: kept(list(endpoint)),
    ports: kept(
      list(object({ name: kept(str), protocol: kept(str), port: kept(int), appProtocol: kept(str) })),
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
      cell: (each) => shortList(slice(each).endpoints.flatMap(({ addresses }) => addresses)),
    },
    ageColumn,
  ],
  rules: {
    defaults: (next) => {
      slice(next).endpoints ??= [];
      for (const port of slice(next).ports ?? []) {
        port.protocol ??= 'TCP';
        port.name ??= '';
      }
    },
    validate: (next, errors, previous) => validateSlice(slice(next), errors, previous && slice(previous)),
  },
});

function validateSlice(next: EndpointSliceObject, errors: FieldErrors, previous?: EndpointSliceObject): void {
  if (next.addressType === undefined) errors.required('addressType');
  else errors.oneOf('addressType', next.addressType, ['FQDN', 'IPv4', 'IPv6']);
  if (previous && previous.addressType !== next.addressType) {
    errors.invalid('addressType', next.addressType, 'field is immutable');
  }
  for (const [index, { addresses }] of next.endpoints.entries()) {
    if (!addresses?.length)
      errors.required(`endpoints[${index}].addresses`, 'must contain at least 1 address');
  }
}

/** Three items, then how many there are beyond them; `<unset>` for none. */
function shortList(items: readonly string[]): string {
  if (items.length === 0) return '<unset>';
  const shown = items.slice(0, 3).join(',');
  return items.length > 3 ? `${shown} + ${items.length - 3} more...` : shown;
}
