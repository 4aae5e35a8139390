import { closeSync, openSync } from 'node:fs';
import { checked, setns } from '../../providers/metal/wire/sys/libc.ts';
import { readLinkTable } from '../../providers/metal/wire/sys/netlink-socket.ts';

const CLONE_NEWNET = 0x4000_0000;

/**
 * Runs something while this thread is in another network namespace, and comes back. Sockets that it makes stay there.
 * It must be synchronous: other code of the thread would be there too.
 *
 * @throws SyscallError without CAP_SYS_ADMIN; what `run` throws.
 */
export function inNamespace<T>(path: string, run: (indexOf: (link: string) => number) => T): T {
  const home = openSync('/proc/thread-self/ns/net', 'r');
  const there = openSync(path, 'r');
  try {
    checked('setns', setns(there, CLONE_NEWNET));
    try {
      return run((link) => {
        const found = readLinkTable().links.find(({ name }) => name === link);
        if (found === undefined) throw new Error(`${path} has no interface ${link}`);
        return found.index;
      });
    } finally {
      checked('setns', setns(home, CLONE_NEWNET));
    }
  } finally {
    closeSync(there);
    closeSync(home);
  }
}
