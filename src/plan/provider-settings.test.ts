import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { aService, aTarget, ip } from '../../test/builders.ts';
import { DEFAULT_CAPABILITIES } from '../model/capabilities.ts';
import type { SettingsTable } from '../model/settings.ts';
import { desired, type ProviderTraits } from './desired.ts';
import { isSettingName, parseSettings, settingNotes } from './settings.ts';

const TABLE: SettingsTable = {
  limits: {
    annotations: ['test.berth.dev/limit.*', 'incumbent.io/limit.*'],
    type: 'a whole number',
    default: {},
    doc: 'A limit for each port.',
    schema: z.string().regex(/^\d+$/).transform(Number),
    each: true,
  },
  old: {
    annotations: ['incumbent.io/old'],
    type: 'anything',
    default: '',
    doc: 'Not carried out.',
    schema: z.string(),
    unsupported: 'use limit.PORT instead',
  },
};

describe('a family of annotations', () => {
  it('becomes a record by what stands where the star is; our own name wins', () => {
    const annotations = {
      'test.berth.dev/limit.80': '1',
      'incumbent.io/limit.80': '2',
      'incumbent.io/limit.443': '3',
    };
    expect(parseSettings('test', TABLE, annotations)['limits']).toEqual({ '80': 1, '443': 3 });
    expect(parseSettings('test', TABLE, {})['limits']).toEqual({});
  });

  it('is refused by the name of the member that is wrong', () => {
    expect(() => parseSettings('test', TABLE, { 'incumbent.io/limit.80': 'x' })).toThrow(
      /incumbent\.io\/limit\.80/,
    );
    expect(() => parseSettings('test', TABLE, { 'test.berth.dev/limits': '1' })).toThrow(
      /test\.berth\.dev\/limits/,
    );
  });

  it('covers its members and nothing else', () => {
    const names = new Set(['incumbent.io/limit.*']);
    expect(isSettingName('incumbent.io/limit.80', names)).toBe(true);
    expect(isSettingName('incumbent.io/limits', names)).toBe(false);
  });
});

describe('annotations that do nothing', () => {
  const notes = (annotations: Record<string, string>) =>
    settingNotes({ settings: TABLE, prefixes: ['incumbent.io/'] }, annotations).map(
      ({ code, subject }) => `${code} ${subject}`,
    );

  it('get a note that names them: known and not carried out, or unknown under a prefix of the provider', () => {
    expect(notes({ 'incumbent.io/old': '1', 'incumbent.io/odl': '1' })).toEqual([
      'AnnotationIgnored incumbent.io/odl',
      'AnnotationUnsupported incumbent.io/old',
    ]);
  });

  it('those of others, and those that are carried out, get none', () => {
    expect(notes({ 'example.com/x': '1', 'incumbent.io/limit.80': '1' })).toEqual([]);
  });
});

describe('B41 nodes by label', () => {
  const targets = ['a', 'b'].map((node, index) => aTarget({ node, addresses: [ip(`192.0.2.${index + 1}`)] }));
  const labels: Readonly<Record<string, Readonly<Record<string, string>>>> = {
    a: { pool: 'edge' },
    b: { pool: 'core', gpu: '' },
  };
  const chosen = (selector: Record<string, string>): readonly string[] => {
    const traits: ProviderTraits = {
      name: 'test',
      capabilities: DEFAULT_CAPABILITIES,
      settings: {},
      nodeLabelsOf: () => selector,
    };
    const context = { traits, targets, assigned: undefined, labelsOf: (node: string) => labels[node] ?? {} };
    return desired(aService(), context).loadBalancer.targets.map(({ node }) => node);
  };

  it('only those with all of the labels are targets; an empty value takes any', () => {
    expect(chosen({})).toEqual(['a', 'b']);
    expect(chosen({ pool: 'edge' })).toEqual(['a']);
    expect(chosen({ pool: '' })).toEqual(['a', 'b']);
    expect(chosen({ gpu: '' })).toEqual(['b']);
    expect(chosen({ pool: 'edge', gpu: '' })).toEqual([]);
  });
});
