/** How this machine is looked at for real. */
import { readFileSync } from 'node:fs';
import { judgeInterfaces, DEFAULT_EXCLUDE } from '../wire/engine/interfaces.ts';
import type { WireInterface } from '../wire/types.ts';
import type { NodeReaders } from './node.ts';

/** Text of a file; `undefined` when it cannot be read: no such setting, no such table, not allowed. */
export function fileText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** This machine as a speaker with the default `--exclude-interface` would see it; needs no capability. */
export async function localReaders(): Promise<NodeReaders> {
  // It binds libc, which nothing else of the command line needs.
  const { readLinkTable } = await import('../wire/sys/netlink-socket.ts');
  const exclude = DEFAULT_EXCLUDE.map((pattern) => new RegExp(pattern));
  const interfaces = (): readonly WireInterface[] => {
    const { links, addresses } = readLinkTable();
    return judgeInterfaces(links, addresses, exclude);
  };
  return { interfaces, file: fileText };
}
