import { pino } from 'pino';
import { styleText } from 'node:util';
import type { Log } from '../provider/spi.ts';
import type { LogLevel } from './settings.ts';

/** Where log lines go. */
export interface LogTarget {
  readonly write: (text: string) => unknown;
  /** Whether people read it as it comes: one short line each instead of JSON. */
  readonly forPeople: boolean;
  readonly colour: boolean;
}

/** A structured log: one JSON object a line, or, where people watch, one short line each. */
export function createLog(level: LogLevel, target: LogTarget): Log {
  const write = target.forPeople
    ? (line: string) => target.write(prettyLine(line, target.colour))
    : (line: string) => target.write(line);
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      messageKey: 'message',
    },
    { write },
  );
}

const COLOURS = { debug: 'gray', info: 'cyan', warn: 'yellow', error: 'red' } as const;

/** `12:30:01 info  leading  services=3 nodes=2` */
function prettyLine(line: string, colour: boolean): string {
  const { level, time, message, ...fields } = JSON.parse(line) as Record<string, unknown> & {
    readonly level: keyof typeof COLOURS;
    readonly time: string;
    readonly message?: string;
  };
  const rest = Object.entries(fields).map(([name, value]) => `${name}=${valueText(value)}`);
  const label = level.padEnd(5);
  const tinted = colour ? styleText(COLOURS[level], label, { validateStream: false }) : label;
  return `${time.slice(11, 19)} ${[tinted, message ?? '', ...rest].join(' ').trimEnd()}\n`;
}

function valueText(value: unknown): string {
  if (typeof value === 'string') return /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value);
  return JSON.stringify(value) ?? 'undefined';
}
