/** First ceiling of the exponential back-off, in milliseconds. */
export const BACKOFF_BASE_MS = 1_000;
/** Longest ceiling of the back-off, in milliseconds. */
export const BACKOFF_MAX_MS = 300_000;

/**
 * Milliseconds to wait after `failures` failures in a row: full jitter below a ceiling that doubles from 1 s to 5 min.
 * `random` gives numbers from 0 (inclusive) to 1.
 */
export function backoffMs(failures: number, random: () => number): number {
  const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_BASE_MS * 2 ** Math.max(0, failures - 1));
  return Math.round(ceiling * random());
}
