import type { Terminal } from './terminal.ts';

/** Nothing is said about what takes less than this, in milliseconds. */
const PATIENCE_MS = 2_000;

/** Back to the first column, and the line is empty. */
const CLEAR = '\r\u001B[K';

/** Says something on standard error while work goes on, without the progress line getting in its way. */
export type Say = (line: string) => void;

/**
 * Does something, and on a terminal says so once it takes longer than two seconds; the line goes when it is done. On
 * anything but a terminal there is no such line.
 */
export async function withProgress<T>(
  { err }: Pick<Terminal, 'err'>,
  what: string,
  work: (say: Say) => Promise<T>,
): Promise<T> {
  if (!err.isTTY) return await work((line) => void err.write(`${line}\n`));
  const begun = performance.now();
  let shown = false;
  const clear = (): void => {
    if (shown) err.write(CLEAR);
    shown = false;
  };
  const show = (): void => {
    const ms = performance.now() - begun;
    if (ms < PATIENCE_MS) return;
    const text = `${what} ... ${Math.round(ms / 1_000)} s`;
    err.write(CLEAR + text.slice(0, Math.max(20, err.columns - 1)));
    shown = true;
  };
  const ticker = setInterval(show, 1_000);
  ticker.unref();
  try {
    return await work((line) => {
      clear();
      err.write(`${line}\n`);
    });
  } finally {
    clearInterval(ticker);
    clear();
  }
}
