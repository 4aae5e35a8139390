import type { StatusEntry } from '../../controller/inspect.ts';
import { statusText } from '../commands/status.ts';
import { paintFor, type Terminal } from '../terminal.ts';

/** Between two looks, in milliseconds. */
const INTERVAL_MS = 250;

/** What a live view shows. */
export interface LiveOptions {
  readonly terminal: Terminal;
  readonly json: boolean;
  readonly status: () => readonly StatusEntry[];
  readonly signal: AbortSignal;
}

/**
 * Shows the Services until the signal aborts: on a terminal a table that is drawn anew when something changes, on
 * anything else a line for each change.
 */
export function showLive({ terminal, json, status, signal }: LiveOptions): Promise<void> {
  const { out } = terminal;
  const changes = linesOfChanges(json);
  const screen = redrawn(terminal);
  const show = (): void => {
    const services = status();
    if (out.isTTY && !json) screen(statusText(services, paintFor(terminal)));
    else for (const line of changes(services)) out.write(`${line}\n`);
  };
  return new Promise((resolve) => {
    show();
    const ticker = setInterval(show, INTERVAL_MS);
    const stop = (): void => {
      clearInterval(ticker);
      resolve();
    };
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });
}

/** A function that draws text over what it drew before, and does nothing when nothing changed. */
function redrawn({ out }: Terminal): (text: string) => void {
  let drawn = '';
  return (text) => {
    if (text === drawn) return;
    const up = drawn === '' ? '' : `\u001B[${rowsOf(drawn, out.columns)}A\u001B[J`;
    out.write(up + text);
    drawn = text;
  };
}

/** How many rows of the screen text takes, long lines being broken. Colours take no room. */
function rowsOf(text: string, columns: number): number {
  // oxlint-disable-next-line eslint/no-control-regex -- the escape character is what colours begin with
  const plain = text.replaceAll(/\u001B\[[\d;]*m/g, '');
  const lines = plain.split('\n').slice(0, -1);
  return lines.reduce((rows, line) => rows + Math.max(1, Math.ceil(line.length / columns)), 0);
}

/** A function that says what changed since it was last called. */
function linesOfChanges(json: boolean): (services: readonly StatusEntry[]) => readonly string[] {
  let before = new Map<string, string>();
  return (services) => {
    const now = new Map(
      services.map((service) => [service.key, json ? JSON.stringify(service) : line(service)]),
    );
    const gone = [...before.keys()].filter((key) => !now.has(key));
    const changed = [...now].filter(([key, text]) => before.get(key) !== text).map(([, text]) => text);
    before = now;
    return [
      ...gone.map((key) => (json ? JSON.stringify({ key, gone: true }) : `${key} is gone`)),
      ...changed,
    ];
  };
}

function line({ key, addresses, ports, reason }: StatusEntry): string {
  return `${key} ${addresses.join(',') || '<none>'} ${ports.join(',')} ${reason}`;
}
