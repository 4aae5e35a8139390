import { execFile } from 'node:child_process';

/** How to run a program. */
export interface RunOptions {
  /** What it reads. */
  readonly input?: string;
  /** Default 20 s. */
  readonly limitMs?: number;
}

/** What a program wrote. @throws Error with its complaint when it fails, or when it takes longer than `limitMs`. */
export async function run(
  program: string,
  args: readonly string[],
  { input, limitMs = 20_000 }: RunOptions = {},
): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const child = execFile(
    program,
    args,
    { timeout: limitMs, maxBuffer: 64 * 2 ** 20 },
    (error, stdout, stderr) => {
      if (error === null) return resolve(stdout);
      reject(new Error(`${program} ${args.join(' ')}: ${stderr.trim() || stdout.trim() || error.message}`));
    },
  );
  if (input !== undefined) {
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(input);
  }
  return await promise;
}
