import { parseIp, type Clock, type IpAddress } from '@berth/core';
import type { KubeObject } from './objects.ts';

/** On a ServiceL2Status: what a speaker heard when it probed for a stranger, as JSON `{address, mac}`. */
export const CONFLICT_ANNOTATION = 'berth.dev/conflict';

/** How long an address that a stranger answers for is given to nobody, in milliseconds. */
export const QUARANTINE_MS = 3_600_000;

/** A stranger that a speaker heard answering for an address. */
export interface AddressConflict {
  readonly address: IpAddress;
  readonly mac: string;
}

/** The conflict that a ServiceL2Status tells of, if any; what cannot be read counts as none. */
export function conflictOf({ annotations }: Pick<KubeObject, 'annotations'>): AddressConflict | undefined {
  const text = annotations[CONFLICT_ANNOTATION];
  if (text === undefined) return undefined;
  try {
    const { address, mac } = JSON.parse(text) as { address?: unknown; mac?: unknown };
    const ip = typeof address === 'string' ? parseIp(address) : undefined;
    return ip === undefined ? undefined : { address: ip, mac: String(mac ?? '') };
  } catch {
    return undefined;
  }
}

/** Addresses that are given to nobody for an hour since a speaker last told of a stranger who answers for them. */
export class Quarantine {
  readonly #clock: Clock;
  readonly #until = new Map<IpAddress, number>();
  readonly #onRelease: () => void;

  /** `onRelease` is called when an address may be used again. */
  constructor(clock: Clock, onRelease: () => void) {
    this.#clock = clock;
    this.#onRelease = onRelease;
  }

  /** Takes in what the speakers tell; gives back what is new. */
  take(conflicts: Iterable<AddressConflict>): readonly AddressConflict[] {
    const fresh = [...conflicts].filter(({ address }) => !this.#until.has(address));
    for (const { address } of fresh) {
      this.#until.set(address, this.#clock.monotonic() + QUARANTINE_MS);
      this.#clock.after(QUARANTINE_MS, () => {
        this.#until.delete(address);
        this.#onRelease();
      });
    }
    return fresh;
  }

  /** The addresses, in the order in which they were told. */
  get addresses(): readonly IpAddress[] {
    return [...this.#until.keys()];
  }
}
