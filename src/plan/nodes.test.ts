import { describe, expect, it } from 'vitest';
import { aNode, ip } from '../../test/builders.ts';
import type { Node } from '../model/node.ts';
import { eligibilityOf, nodeFingerprint, targetsOf } from './nodes.ts';

const EXCLUDE = 'node.kubernetes.io/exclude-from-external-load-balancers';
const taint = (key: string): Partial<Node> => ({ taints: [{ key, effect: 'NoSchedule' }] });

describe('eligibilityOf', () => {
  it.each([
    ['a plain node', {}, true],
    ['B30 a node that is not Ready', { ready: 'False' }, true],
    ['B30 a node of unknown readiness', { ready: 'Unknown' }, true],
    ['B31 a node with the exclude label "true"', { labels: { [EXCLUDE]: 'true' } }, false],
    ['B31 a node with the exclude label ""', { labels: { [EXCLUDE]: '' } }, false],
    ['B31 a node with the exclude label "foo"', { labels: { [EXCLUDE]: 'foo' } }, false],
    ['B31 a node with the exclude label "false"', { labels: { [EXCLUDE]: 'false' } }, true],
    ['B32 a node that the autoscaler is about to remove', taint('ToBeDeletedByClusterAutoscaler'), false],
    ['B32 a node that Karpenter is about to remove', taint('karpenter.sh/disrupted'), false],
    ['B32 a node that is being deleted', { deleting: true }, false],
    ['B33 a node with an unrelated taint', taint('example.com/special'), true],
    ['a node without a network', { networkUnavailable: true }, true],
  ] as const)('%s', (_what, overrides, eligible) => {
    expect(eligibilityOf(aNode(overrides)).eligible).toBe(eligible);
  });

  it('says why a node takes no traffic', () => {
    const because = (overrides: Partial<Node>): string => {
      const answer = eligibilityOf(aNode(overrides));
      return answer.eligible ? 'it does' : answer.because;
    };
    expect(because({ labels: { [EXCLUDE]: 'yes' } })).toBe(`it has the label ${EXCLUDE}=yes`);
    expect(because(taint('karpenter.sh/disrupted'))).toBe('it has the taint karpenter.sh/disrupted');
    expect(because({ deleting: true })).toBe('it is being deleted');
  });
});

describe('targetsOf', () => {
  it('lists eligible nodes by name with their InternalIPs in order, whatever the order of the input', () => {
    const nodes = [
      aNode({ name: 'c', deleting: true }),
      aNode({
        name: 'b',
        addresses: [
          { type: 'ExternalIP', address: ip('203.0.113.1') },
          { type: 'InternalIP', address: ip('2001:db8::1') },
          { type: 'InternalIP', address: ip('192.0.2.1') },
        ],
      }),
      aNode({ name: 'B' }),
    ];
    const targets = targetsOf(nodes);
    expect(targets.map(({ node }) => node)).toEqual(['B', 'b']);
    expect(targets[1]).toEqual({
      node: 'b',
      providerID: 'test:///b',
      addresses: ['2001:db8::1', '192.0.2.1'],
    });
    expect(targetsOf(nodes.toReversed())).toEqual(targets);
  });
});

describe('nodeFingerprint', () => {
  const changes = (from: Partial<Node>, to: Partial<Node>): boolean =>
    nodeFingerprint(aNode(from)) !== nodeFingerprint(aNode(to));
  const address = (text: string, type: 'InternalIP' | 'ExternalIP' = 'InternalIP'): Partial<Node> => ({
    addresses: [{ type, address: ip(text) }],
  });

  it.each([
    ['the exclude label comes', {}, { labels: { [EXCLUDE]: '' } }],
    ['the exclude label goes', { labels: { [EXCLUDE]: '' } }, {}],
    ['B34 another providerID under the same name', { providerID: 'a' }, { providerID: 'b' }],
    ['B35 a providerID that was empty', { providerID: '' }, { providerID: 'b' }],
    ['another InternalIP', address('192.0.2.1'), address('192.0.2.2')],
    ['an autoscaler taint', {}, taint('ToBeDeletedByClusterAutoscaler')],
    ['a deletionTimestamp', {}, { deleting: true }],
    ['another Node of the same name', { uid: 'one' }, { uid: 'two' }],
    ['B39 readiness together with the exclude label', {}, { ready: 'False', labels: { [EXCLUDE]: '' } }],
  ] as const)('B39 a sync is due: %s', (_what, from, to) => {
    expect(changes(from, to)).toBe(true);
  });

  it.each([
    ['B34 the same providerID', { providerID: 'a' }, { providerID: 'a' }],
    ['B30 readiness', {}, { ready: 'False' }],
    ['B33 an unrelated taint', {}, taint('example.com/special')],
    ['another label', {}, { labels: { zone: 'a' } }],
    ['the exclude label "false"', {}, { labels: { [EXCLUDE]: 'false' } }],
    ['another ExternalIP', address('192.0.2.1', 'ExternalIP'), address('192.0.2.2', 'ExternalIP')],
    ['the resourceVersion', {}, { resourceVersion: '2' }],
    [
      'anything of a node that takes no traffic anyway',
      { deleting: true },
      { deleting: true, providerID: 'b' },
    ],
  ] as const)('B39 no sync is due: %s', (_what, from, to) => {
    expect(changes(from, to)).toBe(false);
  });
});
