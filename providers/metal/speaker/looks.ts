import type { Clock, ClusterApi, IpAddress } from '@berth/core';
import type { Input } from '../election/types.ts';
import type { LookOptions, WireApi } from '../wire/types.ts';
import { readClusterUid } from './startup.ts';

/** How long the API server may take to prove that it is reached, in milliseconds. */
const QUORUM_MS = 800;

/** What looks need. */
export interface LooksParts {
  readonly wire: Pick<WireApi, 'probe' | 'gateways' | 'resolve'>;
  readonly api: ClusterApi;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** Who hears of their outcome. */
export interface LooksSink {
  input(input: Input): void;
  trouble(what: string, error: unknown): void;
}

/** Looks that take time: for users of an address, for the API server's quorum, for a gateway. They never throw. */
export class Looks {
  readonly #parts: LooksParts;
  readonly #sink: LooksSink;

  constructor(parts: LooksParts, sink: LooksSink) {
    this.#parts = parts;
    this.#sink = sink;
  }

  /** Asks on the wire whether somebody uses the address; where it cannot be asked, nobody is taken to. */
  probe(address: IpAddress, options: Omit<LookOptions, 'signal'>): void {
    const { wire, clock, signal } = this.#parts;
    const beganMs = clock.monotonic();
    wire
      .probe(address, { ...options, signal })
      .then((found) => (found === 'free' ? {} : { user: found.mac }))
      .catch((error: unknown) => {
        this.#sink.trouble('could not look for other users of an address', error);
        return {};
      })
      .then((found) => this.#sink.input({ type: 'probed', address, beganMs, ...found }))
      .catch((error: unknown) => this.#sink.trouble('a probe went wrong', error));
  }

  /** Reads something from the API server's store. */
  quorumRead(): void {
    const { api, signal } = this.#parts;
    this.#look('quorumRead', async () => (await readClusterUid(api, signal, QUORUM_MS)) !== '');
  }

  /** Asks for the default gateways; one that answers is enough. */
  gateway(): void {
    this.#look('gateway', async () => {
      const { wire, signal } = this.#parts;
      const gateways = await wire.gateways();
      const answers = gateways.map(async ({ address, interface: name }) => {
        if ((await wire.resolve(address, { interfaces: [name], signal })) === undefined)
          throw new Error(`${address} does not answer`);
        return true;
      });
      return Promise.any(answers);
    });
  }

  #look(type: 'quorumRead' | 'gateway', ask: () => Promise<boolean>): void {
    const beganMs = this.#parts.clock.monotonic();
    ask()
      .catch(() => false)
      .then((good) => this.#sink.input({ type, beganMs, good }))
      .catch((error: unknown) => this.#sink.trouble('a look around went wrong', error));
  }
}
