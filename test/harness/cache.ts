import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { harnessEnvironment } from './environment.ts';

/** A directory below Berth's cache (`$XDG_CACHE_HOME/berth/...`), kept between runs and shared by all clones. */
export function cachePath(...parts: string[]): string {
  return join(harnessEnvironment().cacheDir, ...parts);
}

/** Whether something exists at `path`. */
export async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/** What `produceOnce` makes and how. */
export interface Product {
  /** The finished file or directory; it appears whole or not at all. */
  readonly path: string;
  /** Makes the product at the path it is given, which is on the same file system as `path` and does not exist yet. */
  readonly produce: (unfinished: string) => Promise<void>;
  readonly signal?: AbortSignal | undefined;
  /** Told once when another process is already making the same thing. */
  readonly onWait?: () => void;
}

/**
 * Makes `path` unless it is there already. Processes that want the same thing at once take turns by a lock file, so
 * that it is made once; a lock whose holder died is taken over. The product is renamed into place when it is complete,
 * so that a kill in the middle leaves nothing half-made behind that could be mistaken for the product.
 *
 * @throws what `produce` throws, or the abort reason.
 */
export async function produceOnce(product: Product): Promise<void> {
  if (await exists(product.path)) return;
  await mkdir(join(product.path, '..'), { recursive: true });
  await withLock(product, async () => {
    if (await exists(product.path)) return;
    const unfinished = `${product.path}.unfinished`;
    await rm(unfinished, { recursive: true, force: true });
    try {
      await product.produce(unfinished);
      await rename(unfinished, product.path);
    } finally {
      await rm(unfinished, { recursive: true, force: true });
    }
  });
}

async function withLock(product: Product, work: () => Promise<void>): Promise<void> {
  const lock = `${product.path}.lock`;
  let told = false;
  while (!(await takeLock(lock))) {
    product.signal?.throwIfAborted();
    if (!told) product.onWait?.();
    told = true;
    await sleep(500, undefined, { signal: product.signal });
  }
  try {
    await work();
  } finally {
    await rm(lock, { force: true });
  }
}

async function takeLock(lock: string): Promise<boolean> {
  try {
    const file = await open(lock, 'wx');
    await file.writeFile(String(process.pid));
    await file.close();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    if (await isStale(lock)) await rm(lock, { force: true });
    return false;
  }
}

/** A lock is stale when the process named in it is gone. An empty one was just opened, unless it stays empty. */
async function isStale(lock: string): Promise<boolean> {
  try {
    const holder = Number(await readFile(lock, 'utf8'));
    if (holder > 0) return !isAlive(holder);
    return Date.now() - (await stat(lock)).mtimeMs > 5_000;
  } catch {
    return false;
  }
}

/** Whether a process with this id exists. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
