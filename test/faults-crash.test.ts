/**
 * The controller dies at every point of every operation, in this process: whatever it had begun, the next start leads
 * to the same state as if nothing had happened. Real processes are killed in `test/real/faults-kill.test.ts`.
 */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FINALIZER } from '../src/model/names.ts';
import type { Service } from '../src/model/service.ts';
import { aPool, aPort } from './builders.ts';
import { World, turns, type WorldOptions } from './world.ts';

const KEY = 'default/web';
const web: Partial<Service> = {
  ports: [
    aPort(),
    aPort({ port: 443, nodePort: 30_443 }),
    aPort({ port: 53, protocol: 'UDP', nodePort: 30_053 }),
  ],
};

/** Something that a person does, and the world in which it is done. */
interface Operation {
  readonly name: string;
  readonly services: readonly Partial<Service>[];
  readonly act: (world: World) => void;
}

const OPERATIONS: readonly Operation[] = [
  { name: 'a create', services: [], act: (world) => world.cluster.create(web) },
  {
    name: 'a create without node ports',
    services: [],
    act: (world) =>
      world.cluster.create({ ports: [aPort({ nodePort: 0 })], allocateLoadBalancerNodePorts: false }),
  },
  {
    name: 'an update of everything',
    services: [web],
    act(world) {
      world.cluster.addNode({ name: 'node-9' });
      world.cluster.edit(KEY, {
        ports: [aPort({ nodePort: 30_081 }), aPort({ port: 8443, nodePort: 30_443 })],
        loadBalancerIP: '192.0.2.9',
        loadBalancerSourceRanges: ['10.0.0.0/8'],
        sessionAffinity: 'ClientIP',
      });
    },
  },
  { name: 'a delete', services: [web], act: (world) => world.cluster.delete(KEY) },
  {
    name: 'a change of type',
    services: [web],
    act: (world) => world.cluster.edit(KEY, { type: 'ClusterIP' }),
  },
  {
    name: 'a re-creation behind our back',
    services: [web],
    act(world) {
      world.cluster.edit(KEY, { finalizers: [] });
      world.cluster.delete(KEY);
      world.cluster.create({ ...web, uid: 'another' });
    },
  },
  {
    name: 'a hand-over of an address',
    services: [
      { ...web, loadBalancerIP: '192.0.2.5' },
      { name: 'waits', loadBalancerIP: '192.0.2.5', createdAtMs: Date.UTC(2031, 0, 1) },
    ],
    act: (world) => world.cluster.delete(KEY),
  },
];

/** Whether the core assigns addresses, or the cloud. */
const WORLDS: Readonly<Record<string, WorldOptions>> = {
  'with pools': { memory: { pools: [aPool('192.0.2.1-192.0.2.9')] } },
  'without pools': {},
};

/** What there is in the end, without what differs from run to run by nature: versions, times, the order of keys. */
function snapshot(world: World): object {
  const services = world.cluster.services.list().map((service) => ({
    ...service,
    resourceVersion: '',
    conditions: service.conditions.map(({ status, reason }) => `${status} ${reason}`),
  }));
  return { services, cloud: Object.fromEntries(world.cloud.loadBalancers) };
}

/** A world in which the operation is about to happen, and a check that every effect is under our finalizer. */
async function before(operation: Operation, options: WorldOptions): Promise<World> {
  const world = await new World({ ...options, services: operation.services }).start();
  world.reset();
  const uncovered: string[] = [];
  world.cloud.onEffect = ({ operation: call, key = '' }) => {
    if (!world.cluster.service(key)?.finalizers.includes(FINALIZER)) uncovered.push(`${call} ${key}`);
  };
  uncoveredOf.set(world, uncovered);
  return world;
}
const uncoveredOf = new WeakMap<World, string[]>();

/** Lets everything come to rest, retries and node windows included. */
async function rest(world: World): Promise<void> {
  for (let round = 0; round < 4; round++) await world.advance(2_000);
}

async function reference(operation: Operation, options: WorldOptions): Promise<unknown> {
  const world = await before(operation, options);
  operation.act(world);
  await rest(world);
  return snapshot(world);
}

/** Dies right after effect number `at`, of the cloud or the API server, before anybody hears of it; says whether it got there. */
async function dieAfterEffect(world: World, operation: Operation, at: number): Promise<boolean> {
  let effects = 0;
  const { onEffect } = world.cloud;
  const count = (): void => {
    effects += 1;
    if (effects !== at) return;
    world.crash();
    throw new Error('nobody is there any more');
  };
  world.cloud.onEffect = (call) => {
    onEffect?.(call);
    count();
  };
  world.cluster.afterWrite = count;
  operation.act(world);
  await rest(world);
  world.cloud.onEffect = onEffect;
  world.cluster.afterWrite = () => {};
  return effects >= at;
}

describe.each(OPERATIONS.map((operation) => [operation.name, operation] as const))(
  'after %s',
  (_name, operation) => {
    it.each(Object.entries(WORLDS))(
      '%s the state is the same whichever effect the process died at',
      async (_what, options) => {
        const expected = await reference(operation, options);
        let deaths = 0;
        for (let at = 1; ; at++) {
          const world = await before(operation, options);
          const died = await dieAfterEffect(world, operation, at);
          if (!died) break;
          deaths += 1;
          await world.start();
          await rest(world);
          expect.soft(snapshot(world), `died at effect ${at}`).toEqual(expected);
          expect.soft(world.cloud.violations, `died at effect ${at}`).toEqual([]);
          // A re-creation takes the finalizer away by hand: what is removed then has none.
          const uncovered = uncoveredOf.get(world)?.filter((effect) => !effect.startsWith('delete'));
          expect.soft(operation.name.startsWith('a re-creation') ? [] : uncovered).toEqual([]);
        }
        expect(deaths).toBeGreaterThanOrEqual(2);
      },
    );

    it.each(Object.entries(WORLDS))(
      '%s the state is the same however often and whenever the process died',
      async (_what, options) => {
        const expected = await reference(operation, options);
        await fc.assert(
          fc.asyncProperty(fc.array(fc.nat(60), { minLength: 1, maxLength: 4 }), async (deaths) => {
            const world = await before(operation, options);
            operation.act(world);
            for (const ticks of deaths) {
              for (let tick = 0; tick < ticks; tick++) await Promise.resolve();
              world.crash();
              await turns(1);
              world.begin();
            }
            await world.settle();
            await rest(world);
            expect(snapshot(world)).toEqual(expected);
            expect(world.cloud.violations).toEqual([]);
          }),
          { numRuns: 25 },
        );
      },
    );
  },
);

describe('a process that dies in the middle of a burst', () => {
  // Served in the order in which they come; after a restart all together, in the order of their UIDs.
  const names = ['h', 'g', 'f', 'e', 'd', 'c', 'b', 'a'];

  it.each([0, 3, 7])(
    'leaves nobody with another one’s address (%d statuses were written)',
    async (written) => {
      const memory = { pools: [aPool('192.0.2.0/28')] };
      const world = await new World({ services: [], memory, settings: { concurrentSyncs: 8 } }).start();
      const told = new Set(names.slice(0, written).map((name) => `default/${name}`));
      world.cluster.beforeWrite = (write, key) =>
        write === 'patchStatus' && !told.has(key) ? new Promise(() => {}) : Promise.resolve();
      for (const name of names) {
        world.cluster.create({ name, uid: name });
        await world.settle();
      }
      const before = [...world.cloud.loadBalancers].map(([key, { frontend }]) => [
        key,
        frontend.addresses.join(),
      ]);
      expect(before.map(([, address]) => address)).toEqual(names.map((_, index) => `192.0.2.${index}`));
      world.cluster.beforeWrite = () => Promise.resolve();
      await world.restart();
      await rest(world);
      for (const [key = '', address] of before) expect([key, world.addresses(key)]).toEqual([key, address]);
      for (const name of names) expect(world.condition(`default/${name}`)).toBe('True Provisioned');
      expect(world.cloud.counts.get('updateLoadBalancer')).toBeUndefined();
      expect(world.cloud.violations).toEqual([]);
    },
  );
});
