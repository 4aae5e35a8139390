import { describe, expect, it } from 'vitest';
import { aGroup, ip, names, Network, Speaker } from './testkit.ts';
import type { Group } from './types.ts';

const ADDRESS = '192.0.2.10';
/** For a hundred speakers on a busy machine, in real milliseconds; everything that is asserted is in virtual time. */
const LARGE_MS = 90_000;

function groupsFor(count: number, nodes: readonly string[]): readonly Group[] {
  return Array.from({ length: count }, (_, index) =>
    aGroup(`192.0.${2 + (index >> 8)}.${(index & 255) + 1}`.replace('.256', '.0'), nodes),
  );
}

/** A network of nodes that has settled on who holds what. */
function settled(nodes: number, groups = groupsFor(20, names(nodes)), options = {}): Network {
  const network = new Network({ nodes, ...options });
  network.groups = groups;
  network.start();
  network.run(4_000);
  return network;
}

/** The owner of each address. @throws when one has not exactly one. */
function ownership(network: Network): ReadonlyMap<string, string> {
  return new Map(network.groups.map(({ key }) => [key, network.owner(key)]));
}

/** Cuts the nodes off from all others, and from the API server. */
function cut(network: Network, cutOff: readonly string[]): void {
  const side = (node: string): boolean => cutOff.includes(node);
  network.reach = (from, to) => side(from) === side(to);
  network.apiReach = (node) => !side(node);
  network.gatewayReach = (node) => !side(node);
}

function heal(network: Network): void {
  network.reach = () => true;
  network.apiReach = () => true;
  network.gatewayReach = () => true;
  network.publish();
}

/** How long nobody, and how long more than one, answered for any of the addresses; the worst of them. */
function worst(network: Network, sinceMs: number): { readonly silence: number; readonly two: number } {
  const of = (wanted: (owners: number) => boolean): number =>
    Math.max(...network.groups.map(({ key }) => network.timeWith(key, wanted, sinceMs)));
  return { silence: of((owners) => owners === 0), two: of((owners) => owners > 1) };
}

/** What the given nodes had is elsewhere now, and everything else is where it was. */
function expectMoved({
  before,
  after,
  from,
}: {
  before: Owners;
  after: Owners;
  from: readonly string[];
}): void {
  const [theirs, others] = [true, false].map((of) =>
    [...before].filter(([, owner]) => from.includes(owner) === of),
  );
  expect(theirs!.filter(([address]) => from.includes(after.get(address) ?? ''))).toEqual([]);
  expect(others!.filter(([address, owner]) => after.get(address) !== owner)).toEqual([]);
}
type Owners = ReadonlyMap<string, string>;

describe('speakers that start', () => {
  it.each([1, 2, 3, 10, 100])(
    'B82 %i at once: each address has exactly one owner',
    (count) => {
      const network = settled(count, groupsFor(50, names(count)));
      expect(ownership(network).size).toBe(50);
    },
    LARGE_MS,
  );

  it(
    'answer again soon after all of them were started anew, each where it was',
    () => {
      const network = settled(3);
      const before = ownership(network);
      for (const speaker of network.speakers.values()) speaker.kill();
      network.groups = network.groups.map((group) => ({
        ...group,
        epoch: 1,
        former: before.get(group.key)!,
      }));
      const at = network.time.nowMs;
      network.run(500);
      network.start();
      network.run(2_000);
      expect(ownership(network)).toEqual(before);
      expect(worst(network, at).silence).toBeLessThan(1_500);
    },
    LARGE_MS,
  );

  it('wait three seconds for a Ready node that runs none, and no longer', () => {
    const network = new Network({ nodes: 3 });
    network.publish([aGroup(ADDRESS, ['n0', 'n1'])]);
    network.start('n0', 'n1');
    network.run(2_900);
    expect(network.owners(ADDRESS)).toEqual([]);
    network.run(400);
    expect(network.owners(ADDRESS)).toHaveLength(1);
  });

  it('announce nothing while the API server has never answered', () => {
    const network = new Network({ nodes: 1 });
    network.apiReach = () => false;
    network.groups = [aGroup(ADDRESS, ['n0'])];
    network.start();
    network.run(30_000);
    expect(network.owners(ADDRESS)).toEqual([]);
    network.apiReach = () => true;
    network.publish();
    network.run(100);
    expect(network.owner(ADDRESS)).toBe('n0');
  });

  it('take nothing from those that were there before', () => {
    const network = new Network({ nodes: 3 });
    network.groups = groupsFor(30, names(3));
    network.start('n0');
    network.run(4_000);
    const before = ownership(network);
    network.start('n1', 'n2');
    network.run(10_000);
    expect(new Set(before.values())).toEqual(new Set(['n0']));
    expect(ownership(network)).toEqual(before);
    expect(network.moves).toBe(0);
  });
});

describe('a node that dies', () => {
  it.each([2, 3, 10, 100])(
    'B89 of %i: the others answer within a second, and nothing else moves',
    (count) => {
      const network = settled(count, groupsFor(Math.min(60, count * 3), names(count)));
      const before = ownership(network);
      const victim = before.values().next().value!;
      const at = network.time.nowMs;
      network.speakers.get(victim)!.kill();
      network.run(3_000);
      const after = ownership(network);
      expectMoved({ before, after, from: [victim] });
      const { silence, two } = worst(network, at);
      expect(silence).toBeGreaterThan(300);
      expect(silence).toBeLessThan(1_000);
      expect(two).toBeLessThan(5);
    },
    LARGE_MS,
  );

  it(
    'asks nothing of the API server when most are left',
    () => {
      const network = settled(3);
      network.speakers.get('n0')!.kill();
      network.run(5_000);
      expect(network.quorumReads.size).toBe(0);
    },
    LARGE_MS,
  );

  it('and comes back takes nothing back', () => {
    const network = settled(3);
    network.speakers.get('n0')!.kill();
    network.run(3_000);
    const between = ownership(network);
    network.start('n0');
    network.run(10_000);
    expect(ownership(network)).toEqual(between);
  });

  it('B89 and comes back takes its own back when failback is asked for', () => {
    const groups = groupsFor(30, names(3)).map((group) => ({ ...group, failback: true }));
    const network = settled(3, groups);
    const before = ownership(network);
    network.speakers.get('n0')!.kill();
    network.run(3_000);
    expect(ownership(network)).not.toEqual(before);
    const at = network.time.nowMs;
    network.start('n0');
    network.run(10_000);
    expect(ownership(network)).toEqual(before);
    expect(worst(network, at).silence).toBe(0);
    expect(worst(network, at).two).toBeLessThan(50);
  });

  it('and is started again after a second: silence under a second', () => {
    const network = settled(3);
    const at = network.time.nowMs;
    network.speakers.get('n0')!.kill();
    network.run(1_000);
    network.start('n0');
    network.run(5_000);
    expect(ownership(network).size).toBe(20);
    expect(worst(network, at).silence).toBeLessThan(1_000);
  });

  it('with the only other one: the last takes over after the API server has answered', () => {
    const network = settled(3);
    network.speakers.get('n0')!.kill();
    network.run(2_000);
    network.speakers.get('n1')!.kill();
    const at = network.time.nowMs;
    network.run(2_000);
    expect(new Set(ownership(network).values())).toEqual(new Set(['n2']));
    expect(network.quorumReads.get('n2')).toBe(1);
    expect(worst(network, at).silence).toBeLessThan(1_000);
  });
});

describe('a node that is cut off', () => {
  it('claims nothing when the API server answers it before the other speakers are heard again', () => {
    const network = settled(3);
    for (let run = 0; run < 12; run++) {
      cut(network, ['n0']);
      network.run(3_000 + run * 83);
      const among = network.groups.map(({ key }) => network.owners(key).filter((node) => node !== 'n0'));
      const healed = network.time.nowMs;
      heal(network);
      network.run(3_000);
      expect(network.groups.map(({ key }) => network.owners(key))).toEqual(among);
      expect(worst(network, healed).two).toBeLessThan(500);
    }
    expect(network.quorumReads.get('n0')).toBeGreaterThan(12);
  });

  it('keeps what it holds, claims nothing, and gives way at once when it is back', () => {
    const network = settled(3);
    const before = ownership(network);
    const at = network.time.nowMs;
    cut(network, ['n0']);
    network.run(60_000);
    const lone = network.speakers.get('n0')!;
    for (const [address, owner] of before) expect(lone.answers(ip(address))).toBe(owner === 'n0');
    const healed = network.time.nowMs;
    const moves = network.moves;
    heal(network);
    network.run(5_000);
    const after = ownership(network);
    expectMoved({ before, after, from: ['n0'] });
    expect(network.moves).toBe(moves);
    expect(worst(network, healed).two).toBeLessThan(500);
    expect(worst(network, healed).silence).toBe(0);
    expect(network.time.nowMs).toBeGreaterThan(at);
  });

  it('the winner announces again after healing', () => {
    const network = settled(3);
    cut(network, ['n0']);
    network.run(3_000);
    const victims = network.groups.filter(({ key }) => network.speakers.get('n0')!.answers(ip(key)));
    for (const speaker of network.speakers.values()) speaker.effects.length = 0;
    heal(network);
    network.run(2_000);
    for (const { key } of victims) {
      const winner = network.speakers.get(network.owner(key))!;
      const told = winner.effects.filter(
        (effect) => effect.type === 'announce' && effect.key === key && effect.burst,
      );
      expect(told).toHaveLength(1);
    }
    expect(victims.length).toBeGreaterThan(0);
  });

  it('of two: the one that reaches the API server takes over, the other one does not', () => {
    const network = settled(2);
    const before = ownership(network);
    cut(network, ['n0']);
    const at = network.time.nowMs;
    network.run(10_000);
    for (const { key } of network.groups) {
      expect(network.speakers.get('n1')!.answers(ip(key))).toBe(true);
      expect(network.speakers.get('n0')!.answers(ip(key))).toBe(before.get(key) === 'n0');
    }
    expect(at).toBeGreaterThan(0);
    heal(network);
    network.run(2_000);
    expect(new Set(ownership(network).values())).toEqual(new Set(['n1']));
  });

  it('of two without an API server: the one with the gateway takes over, once nobody answers for the address', () => {
    const network = settled(2);
    network.apiReach = () => false;
    network.publish();
    const at = network.time.nowMs;
    network.speakers.get('n0')!.kill();
    network.run(3_000);
    expect(new Set(ownership(network).values())).toEqual(new Set(['n1']));
    expect(worst(network, at).silence).toBeLessThan(1_500);
  });

  it('of two without an API server and without a gateway: nothing is claimed', () => {
    const network = settled(2);
    const before = ownership(network);
    network.apiReach = () => false;
    network.gatewayReach = () => false;
    network.publish();
    network.speakers.get('n0')!.kill();
    network.run(10_000);
    for (const [address, owner] of before) {
      expect(network.owners(address)).toEqual(owner === 'n0' ? [] : ['n1']);
    }
  });

  it('of two whose heartbeats alone are lost: the holder still answers the probes, so it keeps its addresses', () => {
    const network = settled(2);
    const before = ownership(network);
    network.apiReach = () => false;
    network.publish();
    // Heartbeats need both directions; probes are answered on the segment, which works.
    const send = network.send.bind(network);
    network.send = () => {};
    network.run(10_000);
    expect(ownership(network)).toEqual(before);
    network.send = send;
  });
});

describe('two halves', () => {
  it('without an API server claim nothing new; each keeps its own', () => {
    const network = settled(4);
    const before = ownership(network);
    network.apiReach = () => false;
    network.publish();
    network.reach = (from, to) => ['n0', 'n1'].includes(from) === ['n0', 'n1'].includes(to);
    network.run(60_000);
    expect(ownership(network)).toEqual(before);
  });

  it('of which one reaches the API server: it takes over, and keeps after healing', () => {
    const network = settled(4);
    const before = ownership(network);
    cut(network, ['n0', 'n1']);
    network.run(10_000);
    for (const { key } of network.groups) {
      expect(network.owners(key).filter((node) => ['n2', 'n3'].includes(node))).toHaveLength(1);
    }
    const healed = network.time.nowMs;
    heal(network);
    network.run(5_000);
    const after = ownership(network);
    expectMoved({ before, after, from: ['n0', 'n1'] });
    expect(worst(network, healed).two).toBeLessThan(500);
  });
});

describe('without the API server', () => {
  it('addresses stay where they are for a minute, and failover still works', () => {
    const network = settled(3);
    const before = ownership(network);
    network.apiReach = () => false;
    network.publish();
    network.run(60_000);
    expect(ownership(network)).toEqual(before);
    const at = network.time.nowMs;
    network.speakers.get('n0')!.kill();
    network.run(2_000);
    expect(ownership(network).size).toBe(20);
    expect(worst(network, at).silence).toBeLessThan(1_000);
  });

  it('one node that is cut off from it alone keeps its addresses, and is the only owner', () => {
    const network = settled(3);
    const before = ownership(network);
    network.apiReach = (node) => node !== 'n0';
    const at = network.time.nowMs;
    network.publish();
    network.run(60_000);
    expect(ownership(network)).toEqual(before);
    expect(worst(network, at)).toEqual({ silence: 0, two: 0 });
  });
});

describe('a speaker that leaves politely', () => {
  it.each([2, 3, 10])('of %i hands over without silence, and ends within a second', (count) => {
    const network = settled(count, groupsFor(30, names(count)));
    const before = ownership(network);
    const at = network.time.nowMs;
    const leaver = network.speakers.get('n0')!;
    leaver.leave();
    network.run(1_000);
    expect(leaver.ended).toBe(true);
    const after = ownership(network);
    expectMoved({ before, after, from: ['n0'] });
    const { silence, two } = worst(network, at);
    expect(silence).toBe(0);
    expect(two).toBeGreaterThan(0);
    expect(two).toBeLessThan(50);
  });

  it('that has no successor ends at once', () => {
    const network = settled(1);
    const leaver = network.speakers.get('n0')!;
    leaver.leave();
    network.run(1);
    expect(leaver.ended).toBe(true);
    expect(network.owners('192.0.2.1')).toEqual([]);
  });

  it('whose successors do not hear it stops after a second all the same', () => {
    const network = settled(2);
    const leaver = network.speakers.get('n0')!;
    network.reach = () => false;
    network.apiReach = () => false;
    leaver.leave();
    network.run(1_000);
    expect(leaver.ended).toBe(true);
  });

  it('one after the other, and back: an address never falls silent', () => {
    const network = settled(3);
    const at = network.time.nowMs;
    for (const node of names(3)) {
      network.speakers.get(node)!.leave();
      network.run(2_000);
      network.start(node);
      network.run(3_000);
    }
    expect(ownership(network).size).toBe(20);
    expect(worst(network, at).silence).toBe(0);
  });

  it('is no member any more: of two, the other one needs nobody to claim new addresses', () => {
    const network = settled(2);
    network.speakers.get('n0')!.leave();
    network.run(2_000);
    network.apiReach = (node) => node === 'n1';
    network.publish([...network.groups, aGroup('192.0.2.99', names(2))]);
    network.run(1_000);
    expect(network.owner('192.0.2.99')).toBe('n1');
    expect(network.quorumReads.size).toBe(0);
  });
});

describe('an update of the speakers', () => {
  it('moves nothing, and no address falls silent', () => {
    const network = settled(3);
    const before = ownership(network);
    const at = network.time.nowMs;
    for (const node of names(3)) {
      network.speakers.set(node, new Speaker(network, node, network.speakers.get(node)));
      network.run(5_000);
    }
    expect(ownership(network)).toEqual(before);
    expect(network.moves).toBe(0);
    expect(worst(network, at)).toEqual({ silence: 0, two: 0 });
  });
});

describe('a process that stands still', () => {
  it('for two seconds: the others take over, it gives way before it answers', () => {
    const network = settled(3);
    const at = network.time.nowMs;
    network.speakers.get('n0')!.stall(2_000);
    network.run(6_000);
    expect(ownership(network).size).toBe(20);
    const { silence, two } = worst(network, at);
    expect(silence).toBeLessThan(1_000);
    expect(two).toBeLessThan(5);
  });

  it('for half a second: nothing moves', () => {
    const network = settled(3);
    const before = ownership(network);
    network.speakers.get('n0')!.stall(350);
    network.run(6_000);
    expect(ownership(network)).toEqual(before);
  });

  it('all at once for a second: nothing moves', () => {
    const network = settled(3);
    const before = ownership(network);
    for (const speaker of network.speakers.values()) speaker.stall(1_000);
    network.run(6_000);
    expect(ownership(network)).toEqual(before);
  });
});

describe('an address that was never announced', () => {
  const fresh = (): Group => aGroup(ADDRESS, names(3), { known: new Set() });

  it('is looked for before it is answered for, and claimed by one meanwhile', () => {
    const network = settled(3, [fresh()]);
    const [period] = network.periods.get(ip(ADDRESS))!;
    expect(network.owner(ADDRESS)).toBe(period!.node);
    expect(network.periods.get(ip(ADDRESS))).toHaveLength(1);
    const probes = [...network.speakers.values()].flatMap(({ effects }) =>
      effects.filter(({ type }) => type === 'probe'),
    );
    expect(probes).toHaveLength(1);
  });

  it('and is a stranger’s is announced by nobody, and told once', () => {
    const network = new Network({ nodes: 3 });
    network.strangers.add(ip(ADDRESS));
    network.groups = [fresh()];
    network.start();
    network.run(20_000);
    expect(network.owners(ADDRESS)).toEqual([]);
    const told = [...network.speakers.values()].flatMap(({ effects }) =>
      effects.filter(({ type }) => type === 'conflict'),
    );
    expect(told).toHaveLength(1);
  });

  it('is not looked for again when it moves', () => {
    const network = settled(3, [fresh()]);
    network.speakers.get(network.owner(ADDRESS))!.kill();
    const at = network.time.nowMs;
    network.run(2_000);
    expect(network.owners(ADDRESS)).toHaveLength(1);
    expect(worst(network, at).silence).toBeLessThan(1_000);
  });
});

describe('eligibility that changes', () => {
  it('B84 an address moves to the node that has the endpoints now, without silence', () => {
    const network = settled(3, [aGroup(ADDRESS, ['n0'])]);
    const at = network.time.nowMs;
    network.publish([aGroup(ADDRESS, ['n2'])]);
    network.run(1_000);
    expect(network.owner(ADDRESS)).toBe('n2');
    expect(worst(network, at).silence).toBe(0);
    expect(worst(network, at).two).toBeLessThan(50);
  });

  it('B83 nobody announces when no node is eligible', () => {
    const network = settled(3, [aGroup(ADDRESS, ['n0'])]);
    network.publish([aGroup(ADDRESS, [])]);
    network.run(100);
    expect(network.owners(ADDRESS)).toEqual([]);
  });

  it('a holder that does not see it is replaced after two seconds, once', () => {
    const network = settled(3, [aGroup(ADDRESS, names(3))]);
    const holder = network.owner(ADDRESS);
    network.apiReach = (node) => node !== holder;
    network.publish([
      aGroup(
        ADDRESS,
        names(3).filter((node) => node !== holder),
      ),
    ]);
    network.run(1_500);
    expect(network.owner(ADDRESS)).toBe(holder);
    network.run(30_000);
    expect(network.owner(ADDRESS)).not.toBe(holder);
    expect(network.moves).toBe(1);
  });

  it('B87 the highest weight wins a new address, the next one when it is away', () => {
    const weights = new Map([
      ['n0', 10],
      ['n1', 30],
      ['n2', 20],
    ]);
    const network = settled(3, [aGroup(ADDRESS, weights)]);
    expect(network.owner(ADDRESS)).toBe('n1');
    network.speakers.get('n1')!.kill();
    network.run(2_000);
    expect(network.owner(ADDRESS)).toBe('n2');
    network.start('n1');
    network.run(10_000);
    expect(network.owner(ADDRESS)).toBe('n2');
  });

  it('B87 with failback the preferred node takes over when it returns', () => {
    const group = aGroup(
      ADDRESS,
      new Map([
        ['n0', 10],
        ['n1', 30],
      ]),
      { failback: true },
    );
    const network = settled(3, [group]);
    network.speakers.get('n1')!.kill();
    network.run(2_000);
    expect(network.owner(ADDRESS)).toBe('n0');
    network.start('n1');
    network.run(10_000);
    expect(network.owner(ADDRESS)).toBe('n1');
  });

  it('a Service that is gone is not answered for any more', () => {
    const network = settled(3);
    network.publish(network.groups.slice(1));
    network.run(100);
    expect(network.owners('192.0.2.1')).toEqual([]);
  });

  it('B81 addresses that come to belong together end up on one node', () => {
    const addresses = Array.from({ length: 8 }, (_, index) => `192.0.2.${index + 1}`);
    const network = settled(
      5,
      addresses.map((address) => aGroup(address, names(5))),
    );
    expect(new Set(ownership(network).values()).size).toBeGreaterThan(1);
    network.publish([aGroup(addresses, names(5))]);
    network.run(2_000);
    expect(new Set(addresses.map((address) => network.owner(address))).size).toBe(1);
  });
});

describe('a bad network', () => {
  it.each([1, 2, 3, 4, 5])(
    'that loses a tenth of all datagrams: one owner again at any time of rest (seed %i)',
    (seed) => {
      const network = settled(5, groupsFor(20, names(5)), { loss: 0.1, seed });
      network.run(20_000);
      const since = network.time.nowMs;
      network.run(20_000);
      const { silence, two } = worst(network, since);
      expect(silence).toBeLessThan(1_000);
      expect(two).toBeLessThan(1_000);
    },
  );

  it('in which one node is heard by nobody but hears all: it gives way', () => {
    const network = settled(3);
    network.reach = (from) => from !== 'n0';
    network.run(5_000);
    network.reach = () => true;
    network.run(3_000);
    expect(ownership(network).size).toBe(20);
  });
});
