import type { Endpoint, EndpointSlice } from '../model/endpoint.ts';
import type { ServiceKey } from '../model/service.ts';

/** EndpointSlices by the Service that they belong to. */
export class EndpointIndex {
  readonly #slices = new Map<ServiceKey, Map<string, EndpointSlice>>();

  /** Takes a slice in, or out; says which Services it concerns. */
  take(
    type: 'added' | 'modified' | 'deleted',
    slice: EndpointSlice,
    old?: EndpointSlice,
  ): readonly ServiceKey[] {
    const concerned = new Set([slice.service, ...(old === undefined ? [] : [old.service])]);
    for (const key of concerned) this.#slices.get(key)?.delete(slice.name);
    if (type !== 'deleted') {
      const slices = this.#slices.get(slice.service) ?? new Map<string, EndpointSlice>();
      this.#slices.set(slice.service, slices.set(slice.name, slice));
    }
    for (const key of concerned) if (this.#slices.get(key)?.size === 0) this.#slices.delete(key);
    return [...concerned];
  }

  /** All backends of a Service. One that several slices list (as the API allows for a while) counts once for each. */
  of(key: ServiceKey): readonly Endpoint[] {
    return [...(this.#slices.get(key)?.values() ?? [])].flatMap(({ endpoints }) => endpoints);
  }
}
