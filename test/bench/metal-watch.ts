import { setTimeout as sleep } from 'node:timers/promises';
import { Asker } from '../harness/metal-ask.ts';
import type { LabBerth } from '../harness/metal-berth.ts';
import type { MetalLab } from '../harness/metal-lab.ts';
import { type NeighbourFrame, Recorder } from '../harness/metal-record.ts';
import { firstAnswerMs, type Timeline, timelineOf } from '../harness/metal-timeline.ts';
import type { Measurement } from './report.ts';

/** How large the benchmark is. */
export interface MetalSizes {
  /** Runs of each way to fail. */
  readonly runs: number;
  /** Services created at once. */
  readonly services: number;
  /** ARP requests one after another. */
  readonly requests: number;
  /** How long 5,000 requests a second are sent. */
  readonly floodMs: number;
  readonly restMs: number;
  /** How long nobody reaches the API server. */
  readonly withoutApiMs: number;
}

/** What every phase works with. */
export interface MetalBench {
  readonly lab: MetalLab;
  readonly berth: LabBerth;
  readonly sizes: MetalSizes;
  /** Ends everything. */
  readonly signal: AbortSignal;
  readonly record: (measurement: Measurement) => void;
}

/** Nothing is waited for longer than this. */
const LIMIT_MS = 30_000;

/** Asks for addresses from the client and records who answers. */
export class Watch {
  readonly #bench: MetalBench;
  readonly #recorder: Recorder;
  readonly #asker: Asker;
  readonly #addresses: readonly string[];
  #frames: readonly NeighbourFrame[] = [];

  private constructor(
    bench: MetalBench,
    parts: { recorder: Recorder; asker: Asker; addresses: readonly string[] },
  ) {
    this.#bench = bench;
    this.#recorder = parts.recorder;
    this.#asker = parts.asker;
    this.#addresses = parts.addresses;
  }

  /** Begins; each address is asked for every `intervalMs` (10). */
  static async start(bench: MetalBench, addresses: readonly string[], intervalMs = 10): Promise<Watch> {
    const recorder = await Recorder.start(bench.lab);
    const asker = await Asker.start(bench.lab, { intervalMs });
    await asker.ask(addresses);
    return new Watch(bench, { recorder, asker, addresses });
  }

  get frames(): readonly NeighbourFrame[] {
    return this.#frames;
  }

  /** Reads what has been recorded since. */
  async read(): Promise<readonly NeighbourFrame[]> {
    return (this.#frames = await this.#recorder.frames());
  }

  /** Waits until something can be said of the frames. @throws Error when it cannot within 30 s. */
  async until<T>(what: string, find: (frames: readonly NeighbourFrame[]) => T | undefined): Promise<T> {
    const deadline = performance.now() + LIMIT_MS;
    for (;;) {
      const found = find(await this.read());
      if (found !== undefined) return found;
      if (performance.now() > deadline)
        throw new Error(`after ${LIMIT_MS / 1000} s it does not hold that ${what}`);
      await sleep(20, undefined, { signal: this.#bench.signal });
    }
  }

  /** When each address was first answered after `fromMs`, once all were. @throws Error naming those that were not. */
  async allAnswered(addresses: readonly string[], fromMs: number): Promise<readonly number[]> {
    const times = (): readonly (number | undefined)[] =>
      addresses.map((address) => firstAnswerMs(this.#frames, address, { fromMs }));
    try {
      return await this.until('every address is answered', () => {
        const found = times();
        return found.includes(undefined) ? undefined : found.map((after) => fromMs + (after ?? 0));
      });
    } catch (cause) {
      const missing = addresses.filter((_, index) => times()[index] === undefined);
      throw new Error(`not answered: ${missing.join(', ')}`, { cause });
    }
  }

  /** Waits until every address has been answered by one node alone for `quietMs`; who holds what then. */
  async settled(quietMs = 500): Promise<ReadonlyMap<string, string>> {
    return await this.until('every address is answered by one node', () => {
      const toMs = Date.now();
      const each = this.#addresses.map((address) => ({
        address,
        line: this.timeline(address, { fromMs: toMs - quietMs, toMs }),
      }));
      const steady = each.every(({ line }) => line.owners.length === 1 && line.silenceMs < quietMs / 5);
      if (!steady) return undefined;
      return new Map(
        each.map(({ address, line }) => [address, this.#bench.lab.nodeOfMac(line.owner ?? '') ?? '']),
      );
    });
  }

  timeline(address: string, { fromMs, toMs }: { readonly fromMs: number; readonly toMs: number }): Timeline {
    return timelineOf(this.#frames, address, { fromMs, toMs, intervalMs: this.#asker.intervalMs });
  }

  /** How long after `fromMs` another node than the given one answered; NaN when none did. */
  firstFromOther(address: string, node: string, fromMs: number): number {
    const by = (mac: string): boolean => this.#bench.lab.nodeOfMac(mac) !== node;
    return firstAnswerMs(this.#frames, address, { fromMs, by }) ?? Number.NaN;
  }

  /** Ends it; everything that was recorded stays readable. */
  async stop(): Promise<void> {
    await this.#asker.stop();
    this.#frames = await this.#recorder.stop();
  }
}

/** Waits, unless the benchmark ends. */
export function pause(bench: MetalBench, ms: number): Promise<void> {
  return sleep(ms, undefined, { signal: bench.signal });
}

/** The largest; NaN when one of them is, because what was not measured is not small. */
export function worst(values: readonly number[]): number {
  return values.length === 0 ? Number.NaN : Math.max(...values);
}

/** The sum. */
export function total(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}

/** Median and spread for a note. */
export function spread(values: readonly number[]): string {
  const sorted = values.toSorted((a, b) => a - b).map((value) => Math.round(value));
  const middle = sorted[Math.floor(sorted.length / 2)];
  return `${values.length} runs: ${sorted[0]} to ${sorted.at(-1)}, median ${middle}`;
}
