import { isIPv6 } from 'node:net';

/**
 * One kind of value that a setting can have. Flags give text; a configuration file gives text, numbers, booleans; both
 * are read by the same function, so that they mean the same.
 */
export interface ValueKind<T> {
  /** The form in words, behind "expected". */
  readonly expected: string;
  /** The value; `undefined` when it is not of this kind. */
  readonly parse: (value: unknown) => T | undefined;
}

/** Where to listen. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** Any text but the empty one. */
export const text: ValueKind<string> = {
  expected: 'text',
  parse: (value) => (typeof value === 'string' && value.trim() !== '' ? value : undefined),
};

/** `true` or `false`. */
export const flag: ValueKind<boolean> = {
  expected: 'true or false',
  parse: (value) => (typeof value === 'boolean' ? value : undefined),
};

/** A duration with a unit, in milliseconds: `90s`, `10m`, `1h30m`. At least `minMs`. */
export function duration(minMs: number): ValueKind<number> {
  return {
    expected: `a duration such as 90s, 10m or 1h, at least ${minMs >= 1_000 ? `${minMs / 1_000}s` : `${minMs}ms`}`,
    parse(value) {
      if (typeof value !== 'string' || !/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(value)) return undefined;
      const parts = [...value.matchAll(/([\d.]+)(ms|s|m|h)/g)];
      const ms = parts.reduce((sum, [, count, unit]) => sum + Number(count) * (UNIT_MS[unit ?? ''] ?? 0), 0);
      return ms >= minMs ? ms : undefined;
    },
  };
}

/** A whole number between two bounds, both included. */
export function wholeNumber(min: number, max: number): ValueKind<number> {
  return {
    expected: `a whole number from ${min} to ${max}`,
    parse(value) {
      const number = typeof value === 'string' && /^\d{1,9}$/.test(value) ? Number(value) : value;
      const whole = typeof number === 'number' && Number.isInteger(number);
      return whole && number >= min && number <= max ? number : undefined;
    },
  };
}

/** One of a few words. */
export function oneOf<const T extends string>(words: readonly T[]): ValueKind<T> {
  return {
    expected: `one of ${words.join(', ')}`,
    parse: (value) => words.find((word) => word === value),
  };
}

/** `HOST:PORT`; an IPv6 address in brackets; port 0 takes any free one. */
export const listenAddress: ValueKind<ListenAddress> = {
  expected: 'HOST:PORT such as 127.0.0.1:8080 or [::1]:8080 (port 0 takes any free one)',
  parse(value) {
    if (typeof value !== 'string') return undefined;
    const match = /^(?:\[([^\]]+)\]|([^:\s]+)):(\d{1,5})$/.exec(value);
    const [, ipv6, name, port] = match ?? [];
    if (Number(port) > 65_535 || (ipv6 !== undefined && !isIPv6(ipv6))) return undefined;
    const host = ipv6 ?? name;
    return host === undefined ? undefined : { host, port: Number(port) };
  },
};

/** `host:port` as people write it. */
export function listenText({ host, port }: ListenAddress): string {
  return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`;
}

/** A value as it stands in a message: short, and on one line. */
export function shown(value: unknown): string {
  const json = value === undefined ? 'nothing' : JSON.stringify(value);
  return json.length > 60 ? `${json.slice(0, 57)}...` : json;
}
