import { describe, expect, it } from 'vitest';
import { aService } from '../../test/builders.ts';
import { FINALIZER } from '../model/names.ts';
import type { Service } from '../model/service.ts';
import { lifecycleOf, needsCleanup, type Lifecycle } from './lifecycle.ts';

const TYPES: readonly Service['type'][] = ['LoadBalancer', 'ClusterIP', 'NodePort', 'ExternalName'];
const BOTH: readonly boolean[] = [false, true];

interface Combination {
  readonly type: Service['type'];
  readonly finalizer: boolean;
  readonly deleting: boolean;
  readonly served: boolean;
}

const combinations: readonly Combination[] = TYPES.flatMap((type) =>
  BOTH.flatMap((finalizer) =>
    BOTH.flatMap((deleting) => BOTH.map((served) => ({ type, finalizer, deleting, served }))),
  ),
);

/** The truth table, written out: all that is not in it is ignored. */
const TABLE: readonly (readonly [type: string, state: string, Lifecycle])[] = [
  ['LoadBalancer', 'served', 'ensure'],
  ['LoadBalancer', 'finalizer served', 'ensure'],
  ['LoadBalancer', 'finalizer deleting', 'cleanup'],
  ['LoadBalancer', 'finalizer deleting served', 'cleanup'],
  ...['ClusterIP', 'NodePort', 'ExternalName'].flatMap((type) =>
    ['finalizer', 'finalizer served', 'finalizer deleting', 'finalizer deleting served'].map(
      (state) => [type, state, 'cleanup'] as const,
    ),
  ),
];

function serviceOf({ type, finalizer, deleting }: Combination, overrides: Partial<Service> = {}): Service {
  return aService({
    type,
    deleting,
    finalizers: finalizer ? ['other/finalizer', FINALIZER] : ['other/finalizer'],
    ...overrides,
  });
}

function stateOf({ finalizer, deleting, served }: Combination): string {
  return Object.entries({ finalizer, deleting, served })
    .flatMap(([name, is]) => (is ? [name] : []))
    .join(' ');
}

describe('lifecycleOf', () => {
  it('B7 the decision table holds in all combinations of type, finalizer, deletionTimestamp and class', () => {
    expect(combinations).toHaveLength(32);
    for (const one of combinations) {
      const [, , expected = 'ignore'] =
        TABLE.find(([type, state]) => type === one.type && state === stateOf(one)) ?? [];
      expect(lifecycleOf(serviceOf(one), one.served), `${one.type} ${stateOf(one)}`).toBe(expected);
    }
  });

  it('B7 something is to be cleaned up when it has our finalizer and is being deleted or no LoadBalancer any more', () => {
    for (const one of combinations) {
      const expected = one.finalizer && (one.deleting || one.type !== 'LoadBalancer');
      expect(needsCleanup(serviceOf(one)), `${one.type} ${stateOf(one)}`).toBe(expected);
    }
  });

  it('B6 a Service that is being deleted without our finalizer is left alone', () => {
    expect(lifecycleOf(aService({ deleting: true }), true)).toBe('ignore');
    expect(lifecycleOf(aService({ deleting: true, finalizers: [FINALIZER] }), true)).toBe('cleanup');
  });

  it('B5 a Service whose type was changed away is cleaned up though its class, which the API server drops, is gone', () => {
    expect(lifecycleOf(aService({ type: 'ClusterIP', finalizers: [FINALIZER] }), false)).toBe('cleanup');
  });

  it('a paused Service is frozen where something would be done, and ignored where nothing would', () => {
    for (const one of combinations) {
      const without = lifecycleOf(serviceOf(one), one.served);
      const paused = serviceOf(one, { annotations: { 'berth.dev/paused': 'true' } });
      expect(lifecycleOf(paused, one.served)).toBe(without === 'ignore' ? 'ignore' : 'paused');
    }
  });

  it('only the value "true" pauses', () => {
    expect(lifecycleOf(aService({ annotations: { 'berth.dev/paused': 'false' } }), true)).toBe('ensure');
  });
});
