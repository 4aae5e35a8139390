/** Cleaning up what this process made on the machine, in whatever way it ends. */
import { spawn } from 'node:child_process';
import { run } from './run.ts';

/** What there is to clean up. */
export interface Remains {
  /** Directory; the processes whose ids are in its files `*.pid` are killed before it is removed. */
  readonly dir?: string;
  /** Network namespaces, with what runs in them. */
  readonly namespaces?: readonly string[];
  /** A network interface of this namespace. */
  readonly link?: string;
}

/** Waits for the end of this process. */
export interface Guard {
  /** Cleans up now, after which there is nothing to guard. Safe to call twice. */
  remove(): Promise<void>;
  /** Ends the guard without any cleaning; for when everything has been put away already. */
  dismiss(): void;
}

const CLEAN_UP = `
[ -z "$1" ] || for file in "$1"/*.pid; do [ -f "$file" ] && kill -9 "$(cat "$file")" 2>/dev/null; done
for ns in $2; do
  [ -e "/run/netns/$ns" ] || continue
  ip netns pids "$ns" 2>/dev/null | xargs -r kill -9 2>/dev/null
  ip netns del "$ns"
done
[ -z "$3" ] || ip link del "$3" 2>/dev/null
[ -z "$1" ] || rm -rf "$1" || { sleep 1; rm -rf "$1"; }`;

const WAIT = 'while read -r line; do [ "$line" = done ] && exit 0; done';

/**
 * Starts a shell that cleans up when this process ends (its standard input then ends). It is in a session of its own, so
 * that a signal to this process's group does not reach it.
 */
export function startGuard({ dir = '', namespaces = [], link = '' }: Remains): Guard {
  const remains = [dir, namespaces.join(' '), link];
  const guard = spawn('sh', ['-c', `${WAIT}\n${CLEAN_UP}`, 'berth-guard', ...remains], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  guard.unref();
  guard.stdin.on('error', () => undefined);
  (guard.stdin as unknown as { unref?: () => void }).unref?.();
  const dismiss = (): void => void guard.stdin.end('done\n');
  let removed: Promise<void> | undefined;
  const remove = async (): Promise<void> => {
    await run('sh', ['-c', CLEAN_UP, 'berth-clean-up', ...remains]);
    dismiss();
  };
  return { remove: () => (removed ??= remove()), dismiss };
}
