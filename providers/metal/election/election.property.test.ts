import {
  type Arbitrary,
  array,
  assert,
  constant,
  constantFrom,
  integer,
  pre,
  property,
  record,
  tuple,
  uniqueArray,
} from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decide } from './decide.ts';
import { step } from './step.ts';
import { aGroup, ip, names } from './testkit.ts';
import { initialState, type Claim, type ElectionState, type Group, type NodeName } from './types.ts';
import { candidatesOf, claimantsOf } from './view.ts';

/** What all speakers know alike: which of them are there, what each claims, and who may have what. */
interface World {
  readonly nodes: readonly NodeName[];
  readonly live: ReadonlySet<NodeName>;
  readonly groups: readonly Group[];
  readonly claims: ReadonlyMap<NodeName, ReadonlyMap<string, Claim>>;
}

const NOW = 1_000_000;

/** The state of one speaker of the world: warm, connected, everything read. */
function stateOf({ nodes, live, groups, claims }: World, self: NodeName): ElectionState {
  const mine = [...(claims.get(self) ?? [])].map(
    ([address, claim]) => [ip(address), { ...claim, sinceMs: 0, because: 'test' }] as const,
  );
  const others = [...claims].filter(([node]) => node !== self && live.has(node));
  return {
    ...initialState(self),
    cluster: { nodes: new Set(nodes), ready: new Set(nodes), sinceMs: 0 },
    connected: true,
    warmSinceMs: 0,
    groups: new Map(groups.map((group) => [group.key, group])),
    peers: new Map(
      nodes
        .filter((node) => node !== self)
        .map((node) => [node, { state: live.has(node) ? 'live' : 'gone', sinceMs: 0, read: true }]),
    ),
    claims: new Map(others.map(([node, list]) => [node, list as ReadonlyMap<never, Claim>])),
    held: new Map(mine),
    // Long enough ago that it is everybody's turn.
    openSince: new Map(groups.map(({ key }) => [key, 0])),
  };
}

const NODES = names(7);
const ADDRESSES = Array.from({ length: 6 }, (_, index) => `192.0.2.${index + 1}`);

const claim: Arbitrary<Claim> = record({
  epoch: integer({ min: 1, max: 4 }),
  seen: integer({ min: 1, max: 7 }),
  ceding: constant(false),
  probing: constant(false),
});

/** Worlds in which most are heard, so that nobody is isolated. */
const world: Arbitrary<World> = record({
  dead: uniqueArray(constantFrom(...NODES), { maxLength: 3 }),
  eligible: array(uniqueArray(constantFrom(...NODES)), {
    minLength: ADDRESSES.length,
    maxLength: ADDRESSES.length,
  }),
  weights: array(integer({ min: 0, max: 2 }), { minLength: NODES.length, maxLength: NODES.length }),
  claims: array(tuple(constantFrom(...NODES), constantFrom(...ADDRESSES), claim), {
    maxLength: 12,
  }),
}).map(({ dead, eligible, weights, claims: list }) => {
  const byNode = new Map<NodeName, Map<string, Claim>>();
  for (const [node, address, made] of list)
    byNode.set(node, (byNode.get(node) ?? new Map<string, Claim>()).set(address, made));
  const groups = ADDRESSES.map((address, index) =>
    aGroup(
      address,
      new Map((eligible[index] ?? []).map((node) => [node, weights[NODES.indexOf(node)] ?? 0])),
    ),
  );
  return {
    nodes: NODES,
    live: new Set(NODES.filter((node) => !dead.includes(node))),
    groups,
    claims: byNode,
  };
});

/** Who answers for the group after every speaker has decided, and the best claims have won. */
function holdersOf(made: World, group: Group): readonly NodeName[] {
  const deciders = [...made.live].map((node) => [node, decide(stateOf(made, node), group, NOW)] as const);
  return deciders.filter(([, { action }]) => action === 'keep' || action === 'cede').map(([node]) => node);
}

describe('the election, for any view', () => {
  it('B88 any two speakers with one view name the same claimants and candidates in the same order', () => {
    assert(
      property(world, (made) => {
        for (const group of made.groups) {
          const seen = [...made.live].map((node) => {
            const state = stateOf(made, node);
            return JSON.stringify([
              claimantsOf(state, group).map(({ node: by }) => by),
              candidatesOf(state, group),
            ]);
          });
          expect(new Set(seen).size).toBe(1);
        }
      }),
    );
  });

  it('of those who claim a group at most one keeps it, and the others leave it at once', () => {
    assert(
      property(world, (made) => {
        for (const group of made.groups) {
          const claimants = claimantsOf(stateOf(made, 'n0'), group).filter(({ node }) => made.live.has(node));
          const keepers = holdersOf(made, group);
          expect(keepers.length).toBeLessThanOrEqual(1);
          expect(keepers.filter((keeper) => keeper !== claimants[0]?.node)).toEqual([]);
        }
      }),
    );
  });

  it('B82 each address with a live eligible node ends up with exactly one holder, that is one of these', () => {
    assert(
      property(world, (made) => {
        const owners = settle(made);
        for (const { key, eligible } of made.groups) {
          const able = [...eligible.keys()].filter((node) => made.live.has(node));
          const found = owners.get(key) ?? [];
          expect(found).toHaveLength(able.length > 0 ? 1 : 0);
          expect(found.filter((node) => !able.includes(node))).toEqual([]);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('a change of one node moves only what is that node’s', () => {
    assert(
      property(world, constantFrom(...NODES), (made, victim) => {
        pre(made.live.has(victim) && made.live.size > 4);
        const before = settle({ ...made, claims: new Map() });
        const held = new Map<NodeName, Map<string, Claim>>();
        for (const [key, [owner]] of before) {
          if (owner === undefined) continue;
          const claimed: Claim = { epoch: 1, seen: 7, ceding: false, probing: false };
          held.set(owner, (held.get(owner) ?? new Map<string, Claim>()).set(key, claimed));
        }
        held.delete(victim);
        const live = new Set([...made.live].filter((node) => node !== victim));
        const after = settle({ ...made, live, claims: held });
        const others = [...before].filter(([, [owner]]) => owner !== victim);
        for (const [key, owners] of others) expect(after.get(key)).toEqual(owners);
      }),
      { numRuns: 60 },
    );
  });

  it('is the same in whatever order groups and peers are told', () => {
    assert(
      property(world, constantFrom(...NODES), integer(), (made, self, seed) => {
        const mixed = shuffled(made, seed);
        for (const group of made.groups) {
          expect(decide(stateOf(mixed, self), group, NOW)).toEqual(decide(stateOf(made, self), group, NOW));
        }
      }),
    );
  });
});

/** Lets all speakers act and hear each other, one after the other, until nothing changes; who holds what then. */
function settle(made: World): ReadonlyMap<string, readonly NodeName[]> {
  const states = new Map([...made.live].map((node) => [node, stateOf(made, node)]));
  for (let round = 0, now = NOW; round < 12; round++, now += 2_500) {
    for (const [node, state] of states) {
      const next = step(state, { type: 'tick' }, now).state;
      states.set(node, next);
      const { held } = next;
      for (const [peer, other] of states) {
        if (peer === node) continue;
        const told = { type: 'claims', node, claims: held, conflicts: new Set<never>() } as const;
        states.set(peer, step(other, told, now).state);
      }
    }
  }
  return new Map(
    made.groups.map(({ key }) => [
      key,
      [...states].filter(([, { held }]) => held.has(ip(key))).map(([node]) => node),
    ]),
  );
}

function shuffled(made: World, seed: number): World {
  const turn = <T>(list: readonly T[]): readonly T[] => {
    const at = Math.abs(seed) % Math.max(1, list.length);
    return [...list.slice(at), ...list.slice(0, at)].toReversed();
  };
  return {
    ...made,
    nodes: turn(made.nodes),
    groups: turn(made.groups).map((group) => ({ ...group, eligible: new Map(turn([...group.eligible])) })),
    claims: new Map(turn([...made.claims])),
  };
}
