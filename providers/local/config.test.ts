import { describe, expect, it } from 'vitest';
import { rangeText } from '@berth/core';
import { configSchema } from './config.ts';
import { settings, settingsWith } from './settings.ts';

function messages(config: unknown): string[] {
  const { error } = configSchema.safeParse(config);
  return error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`) ?? [];
}

describe('the configuration', () => {
  it('has a pool in loopback when nothing is configured', () => {
    const { pools, defaults } = configSchema.parse({});
    expect(pools.map(({ name, autoAssign }) => [name, autoAssign])).toEqual([['default', true]]);
    expect(pools.flatMap(({ ranges }) => ranges.map(rangeText))).toEqual(['127.77.0.1-127.77.255.254']);
    expect(defaults).toEqual({});
  });

  it('takes pools as CIDRs, ranges and single addresses of both families', () => {
    const ranges = ['192.0.2.0/30', '192.0.2.8-192.0.2.9', '::1'];
    const { pools } = configSchema.parse({ pools: [{ name: 'a', addresses: ranges, autoAssign: false }] });
    expect(pools[0]?.ranges.map(rangeText)).toEqual(['192.0.2.0-192.0.2.3', '192.0.2.8-192.0.2.9', '::1']);
    expect(pools[0]?.autoAssign).toBe(false);
  });

  it('changes the defaults of annotations, given as text or number', () => {
    const { defaults } = configSchema.parse({
      defaults: { drainSeconds: 5, proxyProtocol: 'v2', idleTimeoutSeconds: '9' },
    });
    const table = settingsWith(defaults);
    expect([
      table.drainSeconds.default,
      table.proxyProtocol.default,
      table.idleTimeoutSeconds.default,
    ]).toEqual([5, 'v2', 9]);
    expect(table.maxConnections.default).toBe(settings.maxConnections.default);
    expect(settings.drainSeconds.default).toBe(30);
  });

  it.each<[string, unknown, RegExp]>([
    ['an unknown key', { pool: [] }, /pool/],
    ['no pools at all', { pools: [] }, /^pools:/],
    [
      'a range that is none',
      { pools: [{ name: 'a', addresses: ['127.0.0.300'] }] },
      /^pools\.0\.addresses\.0: expected a CIDR/,
    ],
    ['two pools of one name', { pools: [aPool('a'), aPool('a')] }, /two pools have the name "a"/],
    ['an unknown default', { defaults: { drain: 1 } }, /drain/],
    [
      'a default out of range',
      { defaults: { drainSeconds: 3_601 } },
      /^defaults\.drainSeconds: expected a whole number/,
    ],
    ['no health checks', { healthChecksPerSecond: 0 }, /^healthChecksPerSecond:/],
  ])('names the key of %s', (_what, config, expected) => {
    expect(messages(config).join('\n')).toMatch(expected);
  });
});

function aPool(name: string): object {
  return { name, addresses: ['127.77.0.1'] };
}

describe('the settings', () => {
  it.each([
    ['proxyProtocol', 'v2', 'v2'],
    ['proxyProtocol', 'v1', undefined],
    ['idleTimeoutSeconds', ' 60 ', 60],
    ['idleTimeoutSeconds', '0', undefined],
    ['idleTimeoutSeconds', '1.5', undefined],
    ['idleTimeoutSeconds', '', undefined],
    ['drainSeconds', '0', 0],
    ['drainSeconds', '-1', undefined],
    ['healthCheckPath', '/ready?full=1', '/ready?full=1'],
    ['healthCheckPath', 'ready', undefined],
    ['healthCheckPath', '/a b', undefined],
    ['healthCheckPath', '/a\r\nX: y', undefined],
    ['healthCheckProtocol', 'none', 'none'],
    ['healthCheckPort', '10256', 10_256],
    ['healthCheckPort', '65536', undefined],
  ] as const)('%s takes %j as %j', (name, text, expected) => {
    const result = settings[name].schema['~standard'].validate(text);
    expect('value' in result ? result.value : undefined).toBe(expected);
  });

  it('accept their own defaults', () => {
    for (const { schema, default: value } of Object.values(settings)) {
      expect(schema['~standard'].validate(String(value))).toEqual({ value });
    }
  });
});
