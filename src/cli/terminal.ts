import { styleText } from 'node:util';
import Table from 'cli-table3';

/** A stream of the process as the commands use it. */
export interface Stream {
  readonly write: (text: string) => unknown;
  readonly isTTY: boolean;
  readonly columns: number;
}

/** Where a command reads from nothing and writes to: standard output for answers, standard error for everything else. */
export interface Terminal {
  readonly out: Stream;
  readonly err: Stream;
  /** Whether colours may be used on either; a stream that is no terminal gets none in any case. */
  readonly colour: boolean;
}

/** The process's own streams. */
export function processTerminal(noColor: boolean): Terminal {
  return { out: streamOf(process.stdout), err: streamOf(process.stderr), colour: !noColor };
}

function streamOf(stream: NodeJS.WriteStream): Stream {
  return {
    write: (text) => stream.write(text),
    get isTTY() {
      return stream.isTTY === true;
    },
    get columns() {
      return stream.columns ?? 80;
    },
  };
}

/** Colours by meaning. */
const STYLES = { good: 'green', bad: 'red', warn: 'yellow', dim: 'dim', strong: 'bold' } as const;

/** A meaning that text can have. */
export type Style = keyof typeof STYLES;

/** Colours text for a stream, or leaves it as it is where there are no colours. */
export type Paint = (style: Style, text: string) => string;

/** How to colour what goes to a stream of this terminal. */
export function paintFor(terminal: Terminal, stream: 'out' | 'err' = 'out'): Paint {
  const on = terminal.colour && terminal[stream].isTTY;
  return (style, text) => (on ? styleText(STYLES[style], text, { validateStream: false }) : text);
}

/** A table without borders, as kubectl prints them; ends in a newline. */
export function tableText(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const table = new Table({
    head: [...head],
    chars: NO_BORDERS,
    style: { 'padding-left': 0, 'padding-right': 3, head: [], border: [], compact: true },
  });
  for (const row of rows) table.push(row.map((cell) => cell.replaceAll('\n', ' ')));
  const lines = table.toString().split('\n');
  return `${lines.map((line) => line.trimEnd()).join('\n')}\n`;
}

const NO_BORDERS = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '',
};

/** A value as JSON for people and programs alike; ends in a newline. */
export function jsonText(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

/** `1 Service`, `3 Services`. */
export function counted(count: number, noun: string, plural = `${noun}s`): string {
  return `${count} ${count === 1 ? noun : plural}`;
}
