import { globSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Where Debian has the library of its package `faketime`. */
const LIBRARY = '/usr/lib/*/faketime/libfaketime.so.1';

/** A wall clock that jumps, for one process alone. Its monotonic clock is the machine's. */
export class FakeClock {
  /** What to put before the command of the process. */
  readonly command: readonly string[];
  readonly #file: string;

  /** The clock is right until the first `jump`. @throws Error where libfaketime is not installed, with the remedy. */
  constructor(dir: string) {
    const [library] = globSync(LIBRARY);
    if (library === undefined)
      throw new Error('there is no libfaketime. Remedy: install it (Debian: apt-get install faketime).');
    this.#file = join(dir, 'clock');
    this.jump(0);
    const variables = {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: this.#file,
      FAKETIME_CACHE_DURATION: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    };
    this.command = ['env', ...Object.entries(variables).map(([name, value]) => `${name}=${value}`)];
  }

  /** Makes it differ from the machine's by so much, within a second. */
  jump(seconds: number): void {
    writeFileSync(this.#file, seconds < 0 ? String(seconds) : `+${seconds}`);
  }
}
