/** Counts the requests that clients make, so that tests can assert how few there are. */
import type { Verb } from './http/route.ts';

/** One request for a resource. Discovery, health and OpenAPI are not recorded. */
export interface RequestRecord {
  readonly verb: Verb;
  /** The plural: `services`. */
  readonly resource: string;
  /** `status`, or empty. */
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
  readonly userAgent: string;
  /** HTTP status of the answer; 0 while it is under way, and when the connection was cut. */
  status: number;
}

/** What to count. Everything given must match; a verb of `write` stands for every verb that is not a read. */
export interface RequestQuery {
  readonly verb?: Verb | 'write';
  readonly resource?: string;
  readonly subresource?: string;
  readonly namespace?: string;
  readonly name?: string;
  /** A text contained in the User-Agent, or a pattern. */
  readonly userAgent?: string | RegExp;
}

const READS: readonly string[] = ['get', 'list', 'watch'];

/** True when the record is what the query asks for. */
export function matches(record: RequestRecord, query: RequestQuery): boolean {
  const { verb, userAgent } = query;
  if (verb === 'write' ? READS.includes(record.verb) : verb !== undefined && verb !== record.verb)
    return false;
  if (typeof userAgent === 'string' && !record.userAgent.includes(userAgent)) return false;
  if (userAgent instanceof RegExp && !userAgent.test(record.userAgent)) return false;
  const fields = ['resource', 'subresource', 'namespace', 'name'] as const;
  return fields.every((field) => query[field] === undefined || query[field] === record[field]);
}

/** The recorder. Totals count everything; the log keeps the newest 20,000 requests. */
export class Requests {
  #log: RequestRecord[] = [];
  #dropped = 0;

  /** The newest requests, oldest first. */
  get log(): readonly RequestRecord[] {
    return this.#log;
  }

  /**
   * How many requests match since the start or the last `reset`.
   *
   * @throws Error when there were more than the log keeps: reset it first
   */
  count(query: RequestQuery = {}): number {
    if (this.#dropped > 0)
      throw new Error('More requests came in than the log keeps; call requests.reset() earlier.');
    return this.#log.filter((record) => matches(record, query)).length;
  }

  /** Counts by `VERB RESOURCE[/SUBRESOURCE]`, sorted: what to print or compare as a whole. */
  summary(query: RequestQuery = {}): Record<string, number> {
    const totals = new Map<string, number>();
    for (const record of this.#log) {
      if (!matches(record, query)) continue;
      const what = record.subresource === '' ? record.resource : `${record.resource}/${record.subresource}`;
      const key = `${record.verb} ${what}`;
      totals.set(key, (totals.get(key) ?? 0) + 1);
    }
    return Object.fromEntries([...totals].toSorted(([a], [b]) => (a < b ? -1 : 1)));
  }

  /** Forgets everything so far. */
  reset(): void {
    this.#log = [];
    this.#dropped = 0;
  }

  /** Called by the server for every request. */
  add(record: RequestRecord): void {
    this.#log.push(record);
    if (this.#log.length <= LOG_LIMIT * 2) return;
    this.#dropped += LOG_LIMIT;
    this.#log = this.#log.slice(LOG_LIMIT);
  }
}

const LOG_LIMIT = 20_000;
