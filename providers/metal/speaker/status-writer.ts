import { isBerthError, type ClusterApi, type Clock, type Log } from '@berth/core';
import { CONFLICT_ANNOTATION } from '../quarantine.ts';
import {
  annotationsOf,
  planWrites,
  rawStatus,
  toRaw,
  type L2Status,
  type StatusScene,
  type StatusWrite,
} from './l2-status.ts';

/** What a writer works with. */
export interface StatusWriterOptions {
  readonly api: Pick<ClusterApi, 'request'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
  /** What should be, and what is; asked whenever there may be something to do. */
  readonly scene: () => StatusScene | undefined;
  /** Takes the answer to a write into the live copy. */
  readonly onWritten: (raw: unknown) => void;
}

const BASE = '/apis/metallb.io/v1beta1/namespaces';
/** Writes at a time: enough for two hundred Services in a second, and no burden for the API server. */
const CONCURRENCY = 8;
const TIMEOUT_MS = 5_000;
/** Between the first sign of a change and a round: an address is announced first, and one round writes of many. */
const GATHER_MS = 10;
const RETRY_MIN_MS = 1_000;
const RETRY_MAX_MS = 30_000;

/**
 * Keeps the ServiceL2Status objects as they should be. `poke` says that something may have changed; writes follow one
 * another in rounds, each planned from what is there then. A failed round is tried again after a pause that grows.
 */
export class StatusWriter {
  readonly #options: StatusWriterOptions;
  #working = false;
  #again = false;
  #retryMs = RETRY_MIN_MS;
  #cancel: (() => void) | undefined;
  /** Deleted by us; the watch may tell it a moment later. */
  readonly #deleted = new Set<string>();

  constructor(options: StatusWriterOptions) {
    this.#options = options;
  }

  /** Something may have to be written. Returns at once. */
  poke(): void {
    this.#again = true;
    if (!this.#working && this.#cancel === undefined) this.#workIn(GATHER_MS);
  }

  #workIn(ms: number): void {
    this.#cancel = this.#options.clock.after(ms, () => {
      this.#cancel = undefined;
      this.#working = true;
      void this.#work();
    });
  }

  async #work(): Promise<void> {
    const { signal, log } = this.#options;
    try {
      while (this.#again && !signal.aborted) {
        this.#again = false;
        await this.#round();
      }
      this.#retryMs = RETRY_MIN_MS;
    } catch (error) {
      if (signal.aborted) return;
      log.warn({ error: String(error), retryInMs: this.#retryMs }, 'a ServiceL2Status could not be written');
      this.#again = true;
      this.#workIn(this.#retryMs);
      this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MAX_MS);
    } finally {
      this.#working = false;
    }
  }

  async #round(): Promise<void> {
    const scene = this.#options.scene();
    if (scene === undefined) return;
    const names = new Set(scene.observed.map(({ name }) => name));
    for (const name of this.#deleted) if (!names.has(name)) this.#deleted.delete(name);
    const observed = scene.observed.filter(({ name }) => !this.#deleted.has(name));
    const writes = [...planWrites({ ...scene, observed })];
    let failure: unknown;
    const worker = async (): Promise<void> => {
      for (let write = writes.shift(); write !== undefined; write = writes.shift()) {
        await this.#write(write).catch((error: unknown) => (failure ??= error));
      }
    };
    await Promise.all(Array.from({ length: CONCURRENCY }, worker));
    if (failure !== undefined) throw failure;
  }

  async #write(write: StatusWrite): Promise<void> {
    const { status } = write;
    if (write.type === 'delete') return this.#delete(status);
    this.#deleted.delete(status.name);
    if (write.type === 'annotate') {
      const gone = write.before.conflict !== undefined && status.conflict === undefined;
      const annotations = { ...annotationsOf(status), ...(gone ? { [CONFLICT_ANNOTATION]: null } : {}) };
      return this.#send('PATCH', pathOf(status), { metadata: { annotations } });
    }
    if (write.type === 'create') {
      try {
        await this.#send('POST', `${BASE}/${status.namespace}/servicel2statuses`, toRaw(status));
      } catch (error) {
        if (!hasCode(error, 'ApiAlreadyExists')) throw error;
      }
    }
    await this.#send('PATCH', `${pathOf(status)}/status`, { status: rawStatus(status) });
  }

  async #delete(status: L2Status): Promise<void> {
    try {
      await this.#send('DELETE', pathOf(status));
    } catch (error) {
      if (!hasCode(error, 'ApiNotFound')) throw error;
    }
    this.#deleted.add(status.name);
  }

  async #send(method: 'POST' | 'PATCH' | 'DELETE', path: string, body?: object): Promise<void> {
    const { api, signal, onWritten } = this.#options;
    const call = { method, path, signal, timeoutMs: TIMEOUT_MS, ...(body === undefined ? {} : { body }) };
    const answer = await api.request(call);
    if (method !== 'DELETE') onWritten(answer);
  }
}

function pathOf({ namespace, name }: L2Status): string {
  return `${BASE}/${namespace}/servicel2statuses/${name}`;
}

function hasCode(error: unknown, code: string): boolean {
  return isBerthError(error) && error.code === code;
}
