/** Signals that people and the kubelet give to end the process. */
export interface StopSignals {
  /** Aborts at the first SIGINT or SIGTERM. */
  readonly signal: AbortSignal;
  /** Lets go of both. */
  close(): void;
}

/**
 * One Ctrl-C can arrive more than once: from the terminal, and handed on by `npm` and other programs in between. What
 * comes within this many milliseconds of the first is the same one.
 */
const SAME_MS = 500;

/**
 * Listens for SIGINT and SIGTERM: the first asks to stop in good order; a later SIGINT calls `atOnce`. `now` is a
 * monotonic clock in milliseconds.
 */
export function stopSignals(atOnce: () => void, now: () => number = () => performance.now()): StopSignals {
  const stop = new AbortController();
  let first = Infinity;
  const onSignal = (name: NodeJS.Signals): void => {
    if (stop.signal.aborted && name === 'SIGINT' && now() - first > SAME_MS) atOnce();
    first = Math.min(first, now());
    stop.abort(new Error(`stopped by ${name}`));
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  return {
    signal: stop.signal,
    close() {
      process.off('SIGINT', onSignal);
      process.off('SIGTERM', onSignal);
    },
  };
}
