import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import type { ServiceKey } from '../model/service.ts';
import type { MemoryLoadBalancer } from './memory-cloud.ts';

/** What a `MemoryCloud` holds, as plain JSON. */
export interface CloudState {
  readonly loadBalancers: readonly (readonly [ServiceKey, MemoryLoadBalancer])[];
  readonly violations: readonly string[];
}

/** Where a `MemoryCloud` keeps what it holds, so that it outlives the process that calls it. */
export interface CloudStore {
  /** What was written last, by whichever process; `undefined` before the first time. */
  read(): CloudState | undefined;
  /** Written when this returns: a process that is killed afterwards has left its effect behind. */
  write(state: CloudState): void;
}

/** A store in a JSON file, for tests that kill real processes. One process may write at a time. */
export function fileStore(path: string): CloudStore {
  return {
    read() {
      try {
        return JSON.parse(readFileSync(path, 'utf8')) as CloudState;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
        throw error;
      }
    },
    write(state) {
      writeFileSync(`${path}.new`, JSON.stringify(state));
      renameSync(`${path}.new`, path);
    },
  };
}
