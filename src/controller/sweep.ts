import { asBerthError } from '../model/errors.ts';
import { keyOf, type Service, type ServiceKey } from '../model/service.ts';
import { hasFinalizer } from '../plan/lifecycle.ts';
import { compareText, type Step } from '../plan/step.ts';
import { sleep } from '../provider/clock.ts';
import type { Clock, Instrument, Log, Recollection } from '../provider/spi.ts';
import type { QuorumReads } from './ports.ts';
import type { ProviderRuntime } from './runtime.ts';

/** An orphan is deleted (when asked to) once it has been one for this long, in milliseconds. */
export const ORPHAN_GRACE_MS = 3_600_000;

/** How many complete quorum lists must have confirmed an orphan before it may be deleted. */
const CONFIRMATIONS = 2;

/** A load balancer that is ours by its marks and belongs to no Service. */
export interface Orphan {
  readonly provider: string;
  readonly key: ServiceKey;
  readonly uid: string;
  /** Milliseconds since it was first seen to be one. */
  readonly ageMs: number;
  /** Whether it has been one for long enough, and often enough, to be deleted. */
  readonly ripe: boolean;
}

/** What one sweep of one provider found. */
export interface SweepReport {
  readonly provider: string;
  /** Load balancers that differ from what was made, with the steps that mend them. */
  readonly drifted: readonly { readonly key: ServiceKey; readonly steps: readonly Step[] }[];
  readonly orphans: readonly Orphan[];
  /** Why nothing could be said, when the provider could not be read. */
  readonly error?: string;
}

/** What a sweep works with. */
export interface SweepOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly quorum: QuorumReads;
  /** The Service with this key, from the cache. */
  readonly service: (key: ServiceKey) => Service | undefined;
  /** Keys of the Services that the provider serves. */
  readonly served: (runtime: ProviderRuntime) => readonly ServiceKey[];
  /** Steps that a pass over the key would take now; `[]` for a key that is not settled and therefore cannot drift. */
  readonly drift: (key: ServiceKey, runtime: ProviderRuntime) => readonly Step[];
  /** Told of what has drifted as soon as that is seen. */
  readonly onDrift: (found: SweepReport['drifted']) => void;
  /** Counter with label provider. */
  readonly drifts: Instrument;
  /** Gauge with label provider. */
  readonly orphans: Instrument;
}

/** How a sweep is made. */
export interface SweepPace {
  /** What the Services remember, for a provider that can compare it with what it reads in pages. */
  readonly recollected: ReadonlyMap<ServiceKey, Recollection> | undefined;
  /** Over how long what has to be read one by one is spread, in milliseconds. */
  readonly spreadMs: number;
}

/** Load balancers that are read in one go: few enough for one call of the provider, enough to share what it reads. */
const SLICE = 25;

interface Sighting {
  readonly sinceMs: number;
  confirmations: number;
}

/**
 * Reads a provider's world as a whole and compares: what differs from what was made has drifted; what belongs to no
 * Service is an orphan. It reports; the controller decides what to do about it.
 */
export class Sweep {
  readonly #options: SweepOptions;
  readonly #sightings = new Map<string, Sighting>();

  constructor(options: SweepOptions) {
    this.#options = options;
  }

  /** One sweep of one provider. A provider that cannot be read is reported, never thrown. */
  async run(runtime: ProviderRuntime, signal: AbortSignal, pace: SweepPace): Promise<SweepReport> {
    const { log } = this.#options;
    const provider = runtime.provider.name;
    try {
      await runtime.observeAll(signal, pace.recollected);
      const keys = [...runtime.state.view.loadBalancers.keys()].toSorted(compareText);
      const orphans = await this.#orphans(runtime, keys, signal);
      const inDepth =
        pace.recollected === undefined ? [] : await this.#inDepth(runtime, keys, { signal, pace });
      const drifted = [...inDepth, ...this.#drifted(runtime, this.#options.served(runtime), inDepth)];
      return { provider, drifted: drifted.toSorted((a, b) => compareText(a.key, b.key)), orphans };
    } catch (error) {
      signal.throwIfAborted();
      const { code, message } = asBerthError(error);
      log.warn({ provider, code }, `sweep failed: ${message}`);
      return { provider, drifted: [], orphans: [], error: message };
    }
  }

  /** Reads one slice of the load balancers after another in depth, spread over time; says what drifted as it goes. */
  async #inDepth(
    runtime: ProviderRuntime,
    keys: readonly ServiceKey[],
    { signal, pace }: { readonly signal: AbortSignal; readonly pace: SweepPace },
  ): Promise<SweepReport['drifted']> {
    const slices = Math.ceil(keys.length / SLICE);
    const drifted: SweepReport['drifted'][number][] = [];
    for (let index = 0; index < slices; index++) {
      if (pace.spreadMs > 0) await sleep(this.#options.clock, pace.spreadMs / slices, signal);
      const slice = keys.slice(index * SLICE, (index + 1) * SLICE);
      await runtime.observeKeys(slice, signal);
      drifted.push(...this.#drifted(runtime, slice, drifted));
    }
    return drifted;
  }

  #drifted(
    runtime: ProviderRuntime,
    keys: readonly ServiceKey[],
    known: SweepReport['drifted'],
  ): SweepReport['drifted'] {
    const { drift, log, drifts, onDrift } = this.#options;
    const provider = runtime.provider.name;
    const found = keys
      .filter((key) => !known.some((one) => one.key === key))
      .map((key) => ({ key, steps: drift(key, runtime) }))
      .filter(({ steps }) => steps.length > 0)
      .toSorted((a, b) => compareText(a.key, b.key));
    for (const { key, steps } of found) {
      drifts.record({ provider }, 1);
      log.warn({ provider, key, steps: steps.length }, 'drift: somebody changed what Berth had made');
    }
    onDrift(found);
    return found;
  }

  async #orphans(
    runtime: ProviderRuntime,
    keys: readonly ServiceKey[],
    signal: AbortSignal,
  ): Promise<readonly Orphan[]> {
    const { clock, quorum, orphans, log } = this.#options;
    const provider = runtime.provider.name;
    const suspects = keys.filter((key) => !this.#belongs(runtime, key, this.#options.service(key)));
    const confirmed =
      suspects.length === 0 ? new Map<string, Service>() : byKey(await quorum.listServices(signal));
    const found = suspects.flatMap((key): Orphan[] => {
      const uid = runtime.state.view.loadBalancers.get(key)?.uid;
      if (uid === undefined || this.#belongs(runtime, key, confirmed.get(key))) return [];
      return [{ provider, key, uid, ...this.#sight(`${provider} ${key} ${uid}`, clock.monotonic()) }];
    });
    this.#forgetOthers(provider, found);
    orphans.record({ provider }, found.length);
    for (const { key, uid } of found)
      log.warn({ provider, key, uid }, 'orphan: a load balancer of ours belongs to no Service');
    return found;
  }

  #belongs(runtime: ProviderRuntime, key: ServiceKey, service: Service | undefined): boolean {
    const observed = runtime.state.view.loadBalancers.get(key);
    return (
      service !== undefined &&
      service.uid === observed?.uid &&
      (hasFinalizer(service) || service.type === 'LoadBalancer')
    );
  }

  #sight(id: string, nowMs: number): Pick<Orphan, 'ageMs' | 'ripe'> {
    const sighting = this.#sightings.get(id) ?? { sinceMs: nowMs, confirmations: 0 };
    sighting.confirmations += 1;
    this.#sightings.set(id, sighting);
    const ageMs = nowMs - sighting.sinceMs;
    return { ageMs, ripe: ageMs >= ORPHAN_GRACE_MS && sighting.confirmations >= CONFIRMATIONS };
  }

  #forgetOthers(provider: string, found: readonly Orphan[]): void {
    const kept = new Set(found.map(({ key, uid }) => `${provider} ${key} ${uid}`));
    for (const id of this.#sightings.keys())
      if (id.startsWith(`${provider} `) && !kept.has(id)) this.#sightings.delete(id);
  }
}

function byKey(services: readonly Service[]): Map<ServiceKey, Service> {
  return new Map(services.map((service) => [keyOf(service), service]));
}
