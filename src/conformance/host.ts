import type { Clock, Host, Instrument, Log, WatchDeclaration } from '../provider/spi.ts';
import { systemClock } from '../provider/clock.ts';
import type { ServiceKey } from '../model/service.ts';

interface Timer {
  readonly dueMs: number;
  readonly callback: () => void;
}

/** A clock that stands still until it is told to go on. */
export class ManualClock implements Clock {
  #nowMs: number;
  #monotonicMs = 0;
  #timers: Timer[] = [];

  /** `startMs` is the time of day at the beginning, in milliseconds since the epoch. */
  constructor(startMs = Date.UTC(2030, 0, 1)) {
    this.#nowMs = startMs;
  }

  now(): number {
    return this.#nowMs;
  }

  monotonic(): number {
    return this.#monotonicMs;
  }

  after(ms: number, callback: () => void): () => void {
    const timer = { dueMs: this.#monotonicMs + Math.max(ms, 0), callback };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  /** Timers that are set. */
  get pending(): number {
    return this.#timers.length;
  }

  /** Lets time pass. Timers fire in order; what they set in motion gets a turn of the event loop before the next. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#monotonicMs + ms;
    for (;;) {
      const next = this.#timers
        .filter(({ dueMs }) => dueMs <= endMs)
        .toSorted((a, b) => a.dueMs - b.dueMs)[0];
      if (next === undefined) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.#moveTo(next.dueMs);
      next.callback();
      await turn();
    }
    this.#moveTo(endMs);
    await turn();
  }

  /** Moves the time of day alone, as an operator or NTP does; durations and timers do not notice. */
  jump(ms: number): void {
    this.#nowMs += ms;
  }

  #moveTo(monotonicMs: number): void {
    this.#nowMs += monotonicMs - this.#monotonicMs;
    this.#monotonicMs = monotonicMs;
  }
}

/** One line that was logged. */
export interface LoggedLine {
  readonly level: keyof Log;
  readonly fields: object;
  readonly message: string;
}

/** A host that remembers what a provider did with it. */
export interface TestHost<C extends Clock = Clock> extends Host {
  readonly clock: C;
  readonly lines: readonly LoggedLine[];
  readonly enqueued: readonly {
    readonly keys: readonly ServiceKey[] | undefined;
    readonly because: string;
  }[];
  /** Sets what a declared watch of this path lists, and tells who declared it. */
  setObjects(path: string, objects: readonly unknown[]): void;
  /** The present value of a metric; 0 when it was never recorded. Labels may be given in any order. */
  metric(name: string, labels?: Readonly<Record<string, string>>): number;
}

/** Makes a host for tests: a real clock unless another is given, everything else in memory. */
export function createTestHost(): TestHost;
/** Makes a host for tests with the given clock. */
export function createTestHost<C extends Clock>(clock: C): TestHost<C>;
export function createTestHost(clock: Clock = systemClock): TestHost {
  const lines: LoggedLine[] = [];
  const enqueued: { keys: readonly ServiceKey[] | undefined; because: string }[] = [];
  const values = new Map<string, number>();
  const objects = new Map<string, readonly unknown[]>();
  const declared: WatchDeclaration[] = [];
  const line =
    (level: keyof Log) =>
    (fields: object, message: string): void => {
      lines.push({ level, fields, message });
    };
  const instrument = (name: string, next: (now: number, value: number) => number): Instrument => ({
    record(labels, value) {
      const id = metricId(name, labels);
      values.set(id, next(values.get(id) ?? 0, value));
    },
  });
  return {
    clock,
    lines,
    enqueued,
    log: { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') },
    metrics: {
      counter: (name) => instrument(name, (now, value) => now + value),
      gauge: (name) => instrument(name, (_now, value) => value),
    },
    cluster: { id: '5d0c3c6e-0000-4000-8000-000000000001', name: 'conformance' },
    enqueue: (keys, because) => void enqueued.push({ keys, because }),
    watch(declaration) {
      declared.push(declaration);
      return { list: () => objects.get(declaration.path) ?? [] };
    },
    setObjects(path, list) {
      objects.set(path, list);
      for (const declaration of declared) if (declaration.path === path) declaration.onChange();
    },
    metric: (name, labels = {}) => values.get(metricId(name, labels)) ?? 0,
  };
}

function metricId(name: string, labels: Readonly<Record<string, string>>): string {
  return `${name}${JSON.stringify(Object.entries(labels).toSorted())}`;
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
