import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { fastClock, type LocalBerth, startBerth, startBerthProgram } from '../fixtures/aws-berth.ts';
import { CREATING, DELETING } from '../fixtures/aws-operations.ts';
import { AwsWorld, sum } from '../fixtures/aws-world.ts';
import { eventually } from '../fixtures/kube-objects.ts';
import { describeWithLocalStack, type LocalStack, startLocalStack } from '../harness/localstack.ts';

/** Calls after the Service was made: what is needed once, and nine for its two ports. */
const CREATE_CALLS = 14;
/** Calls of its deletion, with what was needed once. */
const DELETE_CALLS = 8;
/** Waits of ten and more seconds that are part of the behaviour take a tenth. */
const clock = fastClock(10);

let cloud: LocalStack;
let world: AwsWorld;
let running: LocalBerth[] = [];

async function start(): Promise<LocalBerth> {
  const berth = startBerth({ world, clock, elect: false });
  running.push(berth);
  await berth.acting;
  return berth;
}

/** The call with this number (from 0) takes effect without an answer, and no later call does anything. */
async function dieAfter(call: number): Promise<{ struck(): Promise<boolean> }> {
  const last = await world.account.faults.add({ skip: call, times: 1, after: true, disconnect: true });
  // It counts only what the first one lets pass.
  await world.account.faults.add({ skip: call, disconnect: true });
  return { struck: async () => (await last.hits()) > 0 };
}

/** Waits until the process has made its last call, and ends it. */
async function die(berth: LocalBerth, death: { struck(): Promise<boolean> }): Promise<void> {
  await eventually(async () => expect(await death.struck()).toBe(true));
  await berth.stop();
  await world.account.faults.clear();
}

/** Exactly one load balancer of two ports is there, with nothing beside it. */
async function expectOne(name: string): Promise<void> {
  const { view, vpc } = world;
  const seen = await view.behind(world.hostname(name));
  const instances = vpc.instances.map(({ id }) => id).toSorted();
  expect(seen.listeners.map(({ Port }) => Port)).toEqual([80, 443]);
  expect(seen.targetGroups.map(({ targets }) => targets)).toEqual([instances, instances]);
  expect(await view.balancers()).toHaveLength(1);
  expect(await view.targetGroups()).toHaveLength(2);
  expect(await view.ourGroups()).toHaveLength(2);
  expect(await view.rulesOf(vpc.nodeSecurityGroup)).toHaveLength(1);
}

await describeWithLocalStack(
  'wherever Berth is killed, the next start converges: nothing leaked, nothing doubled',
  () => {
    beforeAll(async () => {
      cloud = await startLocalStack();
      world = await AwsWorld.open({ cloud });
    });
    afterEach(async () => {
      await Promise.all(running.map((berth) => berth.stop()));
      running = [];
      await world.account.faults.clear();
      await world.account.settings.set({ consistencyMs: 0 });
    });
    afterAll(async () => {
      await world?.close();
      await cloud?.stop();
    });

    it('the calls below are all that there are', async () => {
      await start();
      const created = await world.calls(async () => {
        world.createService('web', { ports: [80, 443] });
        await world.served(['web']);
      });
      await expectOne('web');
      const deleted = await world.calls(async () => {
        world.deleteService('web');
        await world.gone(['web']);
      });
      expect([sum(created), sum(deleted)]).toEqual([CREATE_CALLS, DELETE_CALLS]);
      expect(await world.leftovers()).toEqual([]);
    });

    describe('after a call of a create', () => {
      it.each(Array.from({ length: CREATE_CALLS }, (_, index) => [index + 1]))('call %i', async (call) => {
        const first = await start();
        const death = await dieAfter(call - 1);
        world.createService('web', { ports: [80, 443] });
        await die(first, death);
        const second = await start();
        await world.served(['web']);
        await eventually(() => expectOne('web'));
        // Read in depth, nothing differs.
        await second.sweep();
        expect(second.log.filter((line) => line.includes('drift'))).toEqual([]);
        world.deleteService('web');
        await world.gone(['web']);
        await eventually(async () => expect(await world.leftovers()).toEqual([]));
      });
    });

    describe('after a call of a delete', () => {
      it.each(Array.from({ length: DELETE_CALLS }, (_, index) => [index + 1]))('call %i', async (call) => {
        const first = await start();
        world.createService('web', { ports: [80, 443] });
        await world.served(['web']);
        const death = await dieAfter(call - 1);
        world.deleteService('web');
        await die(first, death);
        await start();
        await world.gone(['web']);
        await eventually(async () => expect(await world.leftovers()).toEqual([]));
      });
    });

    describe('by SIGKILL, while the answer to a call is on its way', () => {
      const config = (): Record<string, unknown> => ({
        clusterName: 'test',
        leaderElection: { enabled: false },
        providers: { aws: { config: { vpcId: world.vpc.vpcId } } },
      });
      /** Kills it as soon as it has made its call with this number; the call has had its effect. */
      const killAt = async (call: number, work: () => void): Promise<void> => {
        const berth = await startBerthProgram(world, { config: config() });
        try {
          await berth.says(/"leading"/);
          await eventually(async () => expect(await world.account.calls.total()).toBeGreaterThanOrEqual(3));
          await world.account.calls.reset();
          const fault = await world.account.faults.add({ skip: call - 1, after: true, delayMs: 3_000 });
          work();
          await eventually(async () => expect(await fault.hits()).toBeGreaterThan(0));
          // Its effect takes a moment.
          await new Promise((resolve) => setTimeout(resolve, 200));
          berth.kill('SIGKILL');
          await berth.ended;
        } finally {
          await berth.close();
          await world.account.faults.clear();
        }
      };

      it.each([2, 9, 13])('call %i of a create', async (call) => {
        await killAt(call, () => void world.createService('web', { ports: [80, 443] }));
        await start();
        await world.served(['web']);
        await eventually(() => expectOne('web'));
        world.deleteService('web');
        await world.gone(['web']);
        await eventually(async () => expect(await world.leftovers()).toEqual([]));
      });

      it.each([1, 4])('call %i of a delete', async (call) => {
        const first = await start();
        world.createService('web', { ports: [80, 443] });
        await world.served(['web']);
        await first.stop();
        await killAt(call, () => world.deleteService('web'));
        await start();
        await world.gone(['web']);
        await eventually(async () => expect(await world.leftovers()).toEqual([]));
      });
    });

    describe('and an answer that is lost after the effect of its call does not double it', () => {
      it.each(CREATING)('%s %s: connection closed, then error 500', async (service, operation) => {
        await start();
        const { faults } = world.account;
        await faults.add({ service, operation, times: 1, after: true, disconnect: true });
        await faults.add({ service, operation, times: 1, after: true, status: 500, code: 'InternalFailure' });
        world.createService('web', { ports: [80, 443] });
        await world.served(['web']);
        await expectOne('web');
        world.deleteService('web');
        await world.gone(['web']);
        await eventually(async () => expect(await world.leftovers()).toEqual([]));
      });

      it.each([...DELETING, ['ec2', 'RevokeSecurityGroupIngress']] as const)(
        '%s %s: connection closed, and nothing is left',
        async (service, operation) => {
          await start();
          world.createService('web', { ports: [80, 443] });
          await world.served(['web']);
          await world.account.faults.add({ service, operation, times: 1, after: true, disconnect: true });
          world.deleteService('web');
          await world.gone(['web']);
          await eventually(async () => expect(await world.leftovers()).toEqual([]));
        },
      );
    });

    describe('and what was made a moment ago is not made twice though reads do not show it yet', () => {
      it('when the process goes on', async () => {
        await world.account.settings.set({ consistencyMs: 1_500 });
        const berth = await start();
        world.createService('web', { ports: [80, 443] });
        await world.served(['web']);
        await berth.sweep();
        await eventually(() => expectOne('web'));
        world.deleteService('web');
        await world.gone(['web']);
        await eventually(async () => expect(await world.leftovers()).toEqual([]));
      });

      it.each([3, 5, 9, 11, 13])('when it is killed after call %i of a create', async (call) => {
        const first = await start();
        await world.account.settings.set({ consistencyMs: 1_500 });
        const death = await dieAfter(call - 1);
        world.createService('web', { ports: [80, 443] });
        await die(first, death);
        await start();
        await world.served(['web']);
        await eventually(() => expectOne('web'));
        world.deleteService('web');
        await world.gone(['web']);
        await eventually(async () => expect(await world.leftovers()).toEqual([]));
      });

      it('and when its Service is deleted before anybody saw it, nothing is left', async () => {
        const first = await start();
        await world.account.settings.set({ consistencyMs: 1_500 });
        const death = await dieAfter(9);
        world.createService('web', { ports: [80, 443] });
        await die(first, death);
        world.deleteService('web');
        await start();
        await world.gone(['web']);
        await eventually(async () => expect(await world.leftovers()).toEqual([]));
      });
    });
  },
  { control: true },
);
