import { describe, expect, it } from 'vitest';
import type { Announcements, AnnouncementsHost, ClusterApi, LiveList } from '@berth/core';
import { aNode, aService, ip } from '../../test/builders.ts';
import { createTestHost } from '../../src/conformance/host.ts';
import { announcements } from './announcements.ts';
import { configSchema } from './config.ts';
import { PATHS } from './objects.ts';

const SINCE = '2026-01-01T00:00:00.000Z';

/** A cluster with three nodes, a pool, a Service with an address, and what is given beside. */
interface Scene {
  readonly statuses?: readonly object[];
  readonly serving?: boolean;
  readonly advertised?: boolean;
  readonly loadBalancerClass?: string;
  readonly ask?: AnnouncementsHost['ask'];
  readonly services?: readonly string[];
}

/** A ServiceL2Status. */
function written(node: string, claim?: object): object {
  return {
    metadata: {
      name: `l2-${node}`,
      namespace: 'berth-system',
      creationTimestamp: SINCE,
      labels: {
        'metallb.io/node': node,
        'metallb.io/service-name': 'web',
        'metallb.io/service-namespace': 'default',
      },
      annotations:
        claim === undefined
          ? {}
          : {
              'berth.dev/claim': JSON.stringify({ addresses: ['192.0.2.1'], epoch: 1, since: '', ...claim }),
            },
    },
    status: { node, serviceName: 'web', serviceNamespace: 'default' },
  };
}

function list<T>(items: readonly T[]): LiveList<T> {
  return { synced: Promise.resolve(), isConnected: true, list: () => items, put: () => undefined };
}

function apiOf({ statuses = [], serving = true, advertised = true, loadBalancerClass }: Scene): ClusterApi {
  const service = aService({
    ingress: [{ ip: '192.0.2.1' }],
    ...(loadBalancerClass === undefined ? {} : { loadBalancerClass }),
  });
  const endpoint = {
    address: ip('10.0.0.1'),
    node: 'n1',
    ready: serving,
    serving,
    terminating: false,
    ports: [],
  };
  const objects: Readonly<Record<string, readonly unknown[]>> = {
    [PATHS.pools]: [{ metadata: { name: 'a' }, spec: { addresses: ['192.0.2.0/24'] } }],
    [PATHS.advertisements]: advertised ? [{ metadata: { name: 'all' }, spec: {} }] : [],
    [PATHS.statuses]: statuses,
  };
  return {
    request: () => Promise.reject(new Error('nothing is asked for')),
    services: () => list([service]),
    nodes: () => list(['n3', 'n1', 'n2'].map((name) => aNode({ name }))),
    endpointSlices: () =>
      list([{ namespace: 'default', name: 'web-1', service: 'default/web', endpoints: [endpoint] }] as never),
    objects: (path) => list(objects[path] ?? []),
    event: () => undefined,
  };
}

function found(scene: Scene): Promise<Announcements> {
  const { log } = createTestHost();
  return announcements(configSchema.parse({}), {
    services: scene.services ?? ['default/web'],
    api: apiOf(scene),
    ask: scene.ask ?? (() => Promise.reject(new Error('connection refused'))),
    log,
    signal: new AbortController().signal,
  });
}

/** `n1:holder n2:notHolder` */
async function places(scene: Scene): Promise<string> {
  const { announcements: [one] = [] } = await found(scene);
  return one?.nodes.map(({ node, reason }) => `${node}:${reason}`).join(' ') ?? '';
}

describe('who announces, by the objects', () => {
  it('names holder, time and reason of the newest claim, and each other node', async () => {
    const statuses = [
      written('n1', { epoch: 1, since: '2025-01-01T00:00:00Z' }),
      written('n2', { epoch: 2, since: SINCE, because: 'it was the first' }),
    ];
    expect((await found({ statuses })).announcements).toEqual([
      {
        addresses: ['192.0.2.1'],
        services: ['default/web'],
        holder: 'n2',
        since: SINCE,
        because: 'it was the first',
        interfaces: undefined,
        nodes: [
          {
            node: 'n1',
            holder: false,
            reason: 'notHolder',
            message: 'n2 has it and keeps it while it lives',
          },
          { node: 'n2', holder: true, reason: 'holder', message: 'it answers for the address' },
          {
            node: 'n3',
            holder: false,
            reason: 'notHolder',
            message: 'n2 has it and keeps it while it lives',
          },
        ],
      },
    ]);
  });

  it('takes the age of an object that another speaker wrote', async () => {
    const [one] = (await found({ statuses: [written('n3')] })).announcements;
    expect(one).toMatchObject({ holder: 'n3', since: SINCE, because: '' });
  });

  it('says for all nodes at once why nobody does', async () => {
    const [one] = (await found({ serving: false })).announcements;
    expect(one).toMatchObject({ holder: undefined, since: undefined });
    expect(one?.because).toBe('default/web has no serving endpoint');
    expect((await found({ advertised: false })).announcements[0]?.because).toMatch(
      /^no L2Advertisement is for/,
    );
  });

  it('names the nodes whose speakers should have taken the address', async () => {
    expect(await places({})).toBe('n1:candidate n2:candidate n3:candidate');
    expect((await found({})).announcements[0]?.because).toBe(
      'no speaker has taken it yet; n1, n2, n3 may: look at the speaker there',
    );
  });

  it('takes a Service of whatever class as what it is said to be, and leaves out those of others', async () => {
    expect((await found({ loadBalancerClass: 'example.com/l2' })).announcements).toHaveLength(1);
    expect((await found({ services: ['default/other'] })).announcements).toEqual([]);
  });
});

describe('who announces, by a speaker', () => {
  const endpoint = 'http://127.0.0.1:7';
  const statuses = [written('n2', { since: SINCE, because: 'it was the first', endpoint })];
  const report = (more: object = {}): object => ({
    node: 'n2',
    members: 3,
    announcements: [
      {
        addresses: ['192.0.2.1'],
        services: ['default/web'],
        holder: 'n2',
        since: '2027-01-01T00:00:00Z',
        because: 'this node is the best one',
        interfaces: ['eth0'],
        nodes: [
          { node: 'n1', holder: false, eligible: true, live: false, reason: 'gone', message: 'not heard' },
          { node: 'n2', holder: true, eligible: true, live: true, reason: 'holder', message: 'it answers' },
        ],
      },
    ],
    ...more,
  });

  it('knows which others live, and is named as the source', async () => {
    const asked: string[] = [];
    const answer = await found({
      statuses,
      ask: (...question) => {
        asked.push(question.join(' '));
        return Promise.resolve(report());
      },
    });
    expect(asked).toEqual([`${endpoint} announcements`]);
    expect(answer.told).toBe('the speaker of n2');
    expect(answer.announcements).toMatchObject([
      { holder: 'n2', since: '2027-01-01T00:00:00Z', interfaces: ['eth0'], nodes: [{ reason: 'gone' }, {}] },
    ]);
  });

  it.each([
    ['cannot be reached', () => Promise.reject(new Error('refused')), 'was reached from here (refused)'],
    ['is another node’s', () => Promise.resolve(report({ node: 'n9' })), 'no speaker of n2 at http://127'],
    ['speaks another language', () => Promise.resolve({ ok: true }), 'no speaker of n2 at http://127'],
  ])('one that %s is not believed: the objects answer, and it is said why', async (_what, ask, why) => {
    const { told, announcements: list } = await found({ statuses, ask });
    expect(told).toContain('the ServiceL2Status objects: ');
    expect(told).toContain(why);
    expect(list).toMatchObject([{ holder: 'n2', because: 'it was the first' }]);
  });

  it('of several that answer the one that hears the most is believed', async () => {
    const both = [...statuses, written('n1', { epoch: 0, endpoint: 'http://127.0.0.1:8' })];
    const ask = (at: string): Promise<object> =>
      Promise.resolve(at === endpoint ? report() : report({ node: 'n1', members: 1, announcements: [] }));
    expect((await found({ statuses: both.toReversed(), ask })).told).toBe('the speaker of n2');
  });
});
