import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { rangeText } from '@berth/core';
import { configSchema } from './config.ts';
import { MAX_AFFINITY_ENTRIES } from './proxy/affinity.ts';
import { ListenError } from './proxy/listen-error.ts';
import { settings } from './settings.ts';

const text = readFileSync(new URL('README.md', import.meta.url), 'utf8');
const rows = text.split('\n').filter((line) => line.startsWith('| `'));

describe('the README', () => {
  it('has every annotation with its type, default and meaning, and no other', () => {
    const expected = Object.values(settings).map(
      ({ annotations: [name], type, default: value, doc }) =>
        `| \`${name}\` | ${type} | \`${value}\` | ${doc} |`,
    );
    expect(rows.filter((row) => row.includes('local.berth.dev/'))).toEqual(expected);
  });

  it('has the defaults of the configuration', () => {
    const { pools, healthChecksPerSecond } = configSchema.parse({});
    expect(text).toContain(`healthChecksPerSecond: ${healthChecksPerSecond}`);
    expect(text).toContain(`addresses: [${pools.flatMap(({ ranges }) => ranges.map(rangeText)).join(', ')}]`);
    expect(text).toContain(`${MAX_AFFINITY_ENTRIES.toLocaleString('en-GB')} clients`);
  });

  it.each(['EACCES', 'EADDRINUSE', 'EADDRNOTAVAIL', 'EWHATEVER'])(
    'has the reason that %s leads to',
    (code) => {
      const at = { address: '127.0.0.1', port: 80, protocol: 'TCP' } as const;
      const { reason } = new ListenError(at, Object.assign(new Error(''), { code }));
      expect(rows.some((row) => row.startsWith(`| \`${reason}\` |`))).toBe(true);
    },
  );
});
