import { describe, expect, it } from 'vitest';
import type { DoctorCheck } from '@berth/core';
import { askSpeakers, speakerChecks, type SpeakerAnswer } from './speakers.ts';

const NODES = ['node-1', 'node-2', 'node-3'];
const AT = Date.parse('2026-11-21T12:00:00Z');

function answer(
  node: string,
  peers: Readonly<Record<string, string>>,
  more: Partial<SpeakerAnswer['report']> & { readonly now?: string } = {},
): SpeakerAnswer {
  const { now, ...report } = more;
  return {
    report: {
      node,
      isolated: false,
      connected: true,
      ready: true,
      peers: Object.entries(peers).map(([name, state]) => ({ node: name, state, interfaces: [] })),
      ...report,
    },
    ...(now === undefined ? {} : { doctor: { node, now, checks: [] } }),
    atMs: AT,
  };
}

function wrong(answers: readonly SpeakerAnswer[], pods?: readonly string[]): readonly string[] {
  const scene = { nodes: NODES, answers, why: 'nobody', pods: pods && new Set(pods) };
  return brief(speakerChecks(scene).filter(({ outcome }) => outcome !== 'ok'));
}

function brief(found: readonly DoctorCheck[]): readonly string[] {
  return found.map(({ check, subject = '-', outcome }) => `${outcome} ${check} ${subject}`);
}

describe('the speakers', () => {
  const good = answer('node-1', { 'node-2': 'live', 'node-3': 'live' });

  it('are in order when one hears all others', () => {
    expect(wrong([good])).toEqual([]);
  });

  it('are missed on Ready nodes that nobody hears, and on those that said goodbye', () => {
    expect(wrong([answer('node-1', { 'node-2': 'live' })])).toEqual(['failed speaker node-3']);
    expect(wrong([answer('node-1', { 'node-2': 'left', 'node-3': 'live' })])).toEqual([
      'failed speaker node-2',
    ]);
  });

  it('are known by their pods where none answers', () => {
    expect(wrong([], NODES)).toEqual([]);
    expect(wrong([], ['node-1'])).toEqual(['failed speaker node-2', 'failed speaker node-3']);
    expect(wrong([])).toEqual(['skipped speaker -']);
  });

  it('that do not hear one another are told of by pairs; one that is gone for all is not deaf', () => {
    const deaf = answer('node-2', { 'node-1': 'gone', 'node-3': 'live' });
    expect(wrong([good, deaf])).toEqual(['failed peers node-2,node-1']);
    const gone = { 'node-3': 'gone' };
    expect(
      wrong([
        answer('node-1', { 'node-2': 'live', ...gone }),
        answer('node-2', { 'node-1': 'live', ...gone }),
      ]),
    ).toEqual(['failed speaker node-3']);
  });

  it.each([
    ['isolated', { isolated: true }, ['failed speaker-state node-1']],
    ['without the API server', { connected: false }, ['warning speaker-state node-1']],
    ['not yet taking part', { ready: false }, ['warning speaker-state node-1']],
    ['with a clock that is behind', { now: '2026-11-21T11:59:00Z' }, ['warning node-clock node-1']],
    ['with a clock that is right', { now: '2026-11-21T12:00:01Z' }, []],
  ])('one that is %s', (_what, more, expected) => {
    expect(wrong([answer('node-1', { 'node-2': 'live', 'node-3': 'live' }, more)])).toEqual(expected);
  });

  it('are believed only about the node that they are of', async () => {
    const status = (node: string): Parameters<typeof askSpeakers>[1][0] => ({
      name: node,
      namespace: 'berth-system',
      node,
      service: 'default/web',
      interfaces: [],
      claim: { addresses: [], epoch: 1, since: '', endpoint: 'http://127.0.0.1:1' },
    });
    const host = {
      ask: (_endpoint: string, question: string) =>
        question === 'doctor' ? Promise.reject(new Error('503')) : Promise.resolve(good.report),
      now: () => AT,
      signal: new AbortController().signal,
    };
    const { answers } = await askSpeakers(host, [status('node-1'), status('node-2')]);
    expect(answers.map(({ report, doctor }) => [report.node, doctor])).toEqual([['node-1', undefined]]);
  });
});
