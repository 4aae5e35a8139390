import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { SettingsTable } from '../model/settings.ts';
import { parseSettings, settingNames } from './settings.ts';

const table: SettingsTable = {
  idleTimeoutSeconds: {
    annotations: ['local.berth.dev/idle-timeout-seconds', 'example.com/idle-timeout'],
    type: 'a whole number of seconds from 1 to 3600',
    default: 60,
    doc: 'How long a connection may be silent.',
    schema: z.coerce.number().int().min(1).max(3600),
  },
};
const parse = (annotations: Readonly<Record<string, string>>): Readonly<Record<string, unknown>> =>
  parseSettings('local', table, annotations);

describe('parseSettings', () => {
  it('gives the default without an annotation and the parsed value with one', () => {
    expect(parse({})).toEqual({ idleTimeoutSeconds: 60 });
    expect(parse({ 'local.berth.dev/idle-timeout-seconds': '7' })).toEqual({ idleTimeoutSeconds: 7 });
  });

  it('reads an incumbent’s name, and the first of several names wins', () => {
    expect(parse({ 'example.com/idle-timeout': '8' })).toEqual({ idleTimeoutSeconds: 8 });
    expect(parse({ 'example.com/idle-timeout': '8', 'local.berth.dev/idle-timeout-seconds': '7' })).toEqual({
      idleTimeoutSeconds: 7,
    });
  });

  it('gives a value that cannot be altered', () => {
    expect(Object.isFrozen(parse({}))).toBe(true);
  });

  it.each(['', 'soon', '0', '3601', '1.5'])(
    'refuses the value %j, naming annotation, value and form',
    (value) => {
      const attempt = (): unknown => parse({ 'local.berth.dev/idle-timeout-seconds': value });
      expect(attempt).toThrow(expect.objectContaining({ kind: 'InvalidSpec', code: 'InvalidAnnotation' }));
      expect(attempt).toThrow(
        `annotation local.berth.dev/idle-timeout-seconds has the value ${JSON.stringify(value)}. ` +
          'It takes a whole number of seconds from 1 to 3600.',
      );
    },
  );

  it.each([
    ['local.berth.dev/idle-timout-seconds', 'Did you mean local.berth.dev/idle-timeout-seconds?'],
    ['berth.dev/pause', 'Did you mean berth.dev/paused?'],
    ['berth.dev/loadbalancer-ips', 'Did you mean berth.dev/load-balancer-ips?'],
    ['berth.dev/nothing-like-it', 'Correct or remove the annotation.'],
  ])('refuses the unknown annotation %s and helps: %s', (name, help) => {
    const attempt = (): unknown => parse({ [name]: 'x' });
    expect(attempt).toThrow(expect.objectContaining({ kind: 'InvalidSpec', code: 'UnknownAnnotation' }));
    expect(attempt).toThrow(name);
    expect(attempt).toThrow(help);
  });

  it.each([
    ['the core’s own', 'berth.dev/paused'],
    ['what Berth itself wrote', 'berth.dev/applied'],
    ['another provider’s', 'aws.berth.dev/scheme'],
    ['an incumbent’s', 'metallb.io/loadBalancerIPs'],
    ['anybody’s', 'example.com/note'],
  ])('leaves alone %s: %s', (_whose, name) => {
    expect(parse({ [name]: 'x' })).toEqual({ idleTimeoutSeconds: 60 });
  });

  it('refuses a schema that answers later, because a planner cannot wait', () => {
    const later: SettingsTable = {
      x: {
        annotations: ['example.com/x'],
        type: 'x',
        default: 1,
        doc: 'x',
        schema: { '~standard': asynchronous },
      },
    };
    expect(() => parseSettings('local', later, { 'example.com/x': 'y' })).toThrow(TypeError);
  });
});

const asynchronous = {
  version: 1,
  vendor: 'test',
  validate: async (value: unknown) => ({ value }),
} as const;

describe('settingNames', () => {
  it('has every name of every setting', () => {
    expect([...settingNames(table)]).toEqual([
      'local.berth.dev/idle-timeout-seconds',
      'example.com/idle-timeout',
    ]);
  });
});
