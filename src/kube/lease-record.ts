import { count, record, text, textMap } from './raw.ts';

/** What of a coordination.k8s.io/v1 Lease matters here. */
export interface LeaseRecord {
  readonly resourceVersion: string;
  /** Identity of the holder; `""` when it was released. */
  readonly holder: string;
  /** For how long after a renewal the holder may not be replaced. */
  readonly durationMs: number;
  readonly acquireTime: string;
  readonly renewTime: string;
  readonly transitions: number;
  readonly annotations: Readonly<Record<string, string>>;
}

/** A Lease from raw JSON; `undefined` if it has no resourceVersion. */
export function toLease(raw: unknown): LeaseRecord | undefined {
  const { metadata: rawMetadata, spec: rawSpec } = record(raw);
  const metadata = record(rawMetadata);
  const spec = record(rawSpec);
  const resourceVersion = text(metadata['resourceVersion']);
  if (resourceVersion === '') return undefined;
  return {
    resourceVersion,
    holder: text(spec['holderIdentity']),
    durationMs: count(spec['leaseDurationSeconds']) * 1000,
    acquireTime: text(spec['acquireTime']),
    renewTime: text(spec['renewTime']),
    transitions: count(spec['leaseTransitions']),
    annotations: textMap(metadata['annotations']),
  };
}

/** What makes one renewal differ from the next; somebody editing an annotation is no renewal. */
export function renewalOf(lease: LeaseRecord): string {
  return JSON.stringify([
    lease.holder,
    lease.acquireTime,
    lease.renewTime,
    lease.transitions,
    lease.durationMs,
  ]);
}

/** Whole seconds, as the API has them, and never 0, which it refuses. */
export function durationSeconds(ms: number): number {
  return Math.max(1, Math.round(ms / 1000));
}

/** meta/v1 MicroTime. The clock has milliseconds; the digits after them are given, and make a time unique. */
export function microTime(wallMs: number, micros = 0): string {
  return `${new Date(wallMs).toISOString().slice(0, 23)}${String(micros).padStart(3, '0')}Z`;
}
