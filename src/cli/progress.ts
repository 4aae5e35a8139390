import type { Terminal } from './terminal.ts';

/** Nothing is said about what takes less than this, in milliseconds. */
const PATIENCE_MS = 2_000;

/**
 * Does something, and says so on a terminal once it takes longer than two seconds; the line goes when it is done. On
 * anything but a terminal nothing is said.
 */
export async function withProgress<T>(
  { err }: Pick<Terminal, 'err'>,
  what: string,
  work: () => Promise<T>,
): Promise<T> {
  if (!err.isTTY) return await work();
  const begun = performance.now();
  let shown = false;
  const show = (): void => {
    const seconds = Math.round((performance.now() - begun) / 1_000);
    const line = `${what} ... ${seconds} s`.slice(0, Math.max(20, err.columns - 1));
    err.write(`\r\u001B[K${line}`);
    shown = true;
  };
  const ticker = setInterval(() => {
    if (performance.now() - begun >= PATIENCE_MS) show();
  }, 1_000);
  ticker.unref();
  try {
    return await work();
  } finally {
    clearInterval(ticker);
    if (shown) err.write('\r\u001B[K');
  }
}
