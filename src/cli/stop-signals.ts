/** A signal that people and the kubelet give to end the process. */
export interface StopSignals {
  /** Aborts at the first SIGINT or SIGTERM. */
  readonly signal: AbortSignal;
  /** Lets go of both. */
  close(): void;
}

/** Listens for SIGINT and SIGTERM: the first asks to stop in good order; a second SIGINT calls `atOnce`. */
export function stopSignals(atOnce: () => void): StopSignals {
  const stop = new AbortController();
  const onSignal = (name: NodeJS.Signals): void => {
    if (stop.signal.aborted && name === 'SIGINT') atOnce();
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
