import { fork, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** What a program of the benchmark answers: its result, or what went wrong. */
type Answer = { readonly result: unknown } | { readonly error: string };

/** A program of the benchmark in a process of its own, asked one thing at a time. */
export interface Helper<Ask, Result> {
  readonly pid: number;
  ask(question: Ask): Promise<Result>;
  stop(): void;
}

/** Starts `NAME.ts` of this folder. It ends with the benchmark, also when that is killed. */
export function start<Ask extends object, Result>(name: string): Helper<Ask, Result> {
  const path = fileURLToPath(new URL(`${name}.ts`, import.meta.url));
  const child = fork(path, {
    execArgv: ['--conditions=source'],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  return {
    pid: child.pid ?? 0,
    ask: (question) => ask<Result>(child, name, question),
    stop: () => void child.kill('SIGKILL'),
  };
}

function ask<Result>(child: ChildProcess, name: string, question: object): Promise<Result> {
  const { promise, resolve, reject } = Promise.withResolvers<Result>();
  const onExit = (code: number | null): void =>
    reject(new Error(`${name} ended with ${code}; its output is above`));
  child.once('exit', onExit);
  child.once('message', (answer: Answer) => {
    child.off('exit', onExit);
    if ('error' in answer) reject(new Error(`${name}: ${answer.error}`));
    else resolve(answer.result as Result);
  });
  child.send(question);
  return promise;
}

/** The other side: answers questions one after another until the benchmark is gone. */
export function answer<Ask, Result>(work: (question: Ask) => Promise<Result>): void {
  process.on('disconnect', () => process.exit(0));
  process.on('message', (question) => {
    work(question as Ask).then(
      (result) => process.send?.({ result }),
      (error: unknown) => process.send?.({ error: error instanceof Error ? error.message : String(error) }),
    );
  });
}

/** Clock ticks of Linux in a second, as seen by user space (`getconf CLK_TCK`). */
const TICKS = 100;

/** Seconds of processor time that everything on the machine has used; NaN where there is no /proc. See proc(5), stat. */
export function machineSeconds(): number {
  try {
    // cpu  user nice system idle iowait irq softirq steal guest guest_nice; guests are in user and nice already.
    const [, ...fields] = (readFileSync('/proc/stat', 'utf8').split('\n', 1)[0] ?? '')
      .split(/\s+/)
      .map(Number);
    const busy = fields.filter((_, index) => ![3, 4, 8, 9].includes(index));
    return busy.reduce((sum, ticks) => sum + ticks, 0) / TICKS;
  } catch {
    return Number.NaN;
  }
}

/** Seconds of processor time that a process has used, all threads; NaN where there is no /proc. See proc(5), stat. */
export function processorSeconds(pid: number): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
    return (Number(fields[11]) + Number(fields[12])) / TICKS;
  } catch {
    return Number.NaN;
  }
}
