import assert from 'node:assert/strict';
import type { LoadBalancer } from '../../model/load-balancer.ts';
import type { ServiceKey } from '../../model/service.ts';
import { stepText, type Step } from '../../plan/step.ts';
import { ObservedState } from '../../provider/observed.ts';
import type { Driver } from '../driver.ts';
import type { ConformanceCase } from '../subject.ts';

/** One way from a state of the world to another, to be disturbed at every step. */
interface Way {
  readonly what: 'create' | 'update' | 'delete';
  readonly from: LoadBalancer | undefined;
  readonly to: LoadBalancer | ServiceKey;
}

/** A create, an update of everything that can change, and a delete of one load balancer. */
function ways(driver: Driver, name: string): readonly Way[] {
  const before = driver.want(driver.service({ name, ports: [driver.port(0), driver.port(1)] }));
  const after = driver.want(
    driver.service({ name, ports: [driver.port(0, { nodePort: 30_078 }), driver.port(2)] }),
    driver.targets.slice(1),
  );
  return [
    { what: 'create', from: undefined, to: before },
    { what: 'update', from: before, to: after },
    { what: 'delete', from: after, to: after.key },
  ];
}

/**
 * Goes each way once for every step in it, disturbed at that step, and checks that the other end is reached and that
 * nothing is left in the end. Each round has a load balancer of its own name.
 */
async function disturbed(
  driver: Driver,
  disturb: (steps: readonly Step[], at: number) => Promise<void>,
): Promise<void> {
  for (const index of [0, 1, 2]) {
    for (let at = 0, length = 1; at < length; at++) {
      const way = ways(driver, `way-${index}-${at}`)[index];
      assert.ok(way !== undefined);
      if (way.from !== undefined) await driver.converge(way.from);
      await prepared(driver, way.to);
      const steps = driver.plan(way.to);
      length = steps.length;
      assert.ok(length > 0 || way.what === 'update', `there is nothing to ${way.what}`);
      if (length > 0) await disturb(steps, at);
      await reaches(driver, way);
    }
  }
}

/** As the core does before it carries out a plan: what load balancers share is there. */
async function prepared(driver: Driver, goal: LoadBalancer | ServiceKey): Promise<void> {
  if (typeof goal === 'object') await driver.convergeShared(goal);
}

async function reaches(driver: Driver, { to }: Way): Promise<void> {
  await driver.converge(to);
  await driver.observe();
  assert.deepEqual(driver.plan(to), [], 'a fresh look at the world finds differences');
  if (typeof to === 'string') return assert.equal(driver.known(to), undefined);
  await driver.ready(to);
  await driver.converge(to.key);
  await driver.observe();
  assert.equal(driver.known(to.key), undefined, 'the load balancer could not be removed afterwards');
}

/** What happens between the lines: crashes, lost replies, repeated steps, aborts, other people. */
export const faultCases: readonly ConformanceCase[] = [
  {
    name: 'killed after any step of a create, an update or a delete, the next start reaches the same end',
    run: (driver) =>
      disturbed(driver, async (steps, at) => {
        for (const step of steps.slice(0, at + 1)) await driver.apply(step);
        await driver.crash();
      }),
  },
  {
    name: 'when the reply to any step is lost, the same process reaches the same end',
    run: (driver) =>
      disturbed(driver, async (steps, at) => {
        for (const step of steps.slice(0, at)) await driver.apply(step);
        const step = steps[at];
        assert.ok(step !== undefined);
        const before = driver.state.snapshot();
        await driver.apply(step);
        // It took effect, but what it changed is not known: the step will be planned again.
        driver.state = new ObservedState(before);
      }),
  },
  {
    name: 'every step may be repeated, with what was observed before it and after it, and takes effect once',
    run: (driver) =>
      disturbed(driver, async (steps, at) => {
        for (const step of steps.slice(0, at)) await driver.apply(step);
        const step = steps[at];
        assert.ok(step !== undefined);
        const before = driver.state.snapshot();
        await driver.apply(step);
        driver.state.merge(step, await driver.provider.apply(step, before, driver.signal));
        await driver.apply(step);
      }),
  },
  {
    name: 'a load balancer that is half made can be deleted, from every intermediate state',
    run: async (driver) => {
      const length = driver.plan(ways(driver, 'length')[0]?.to ?? '').length;
      for (let at = 0; at <= length; at++) {
        const wanted = ways(driver, `half-${at}`)[0]?.to;
        assert.ok(typeof wanted === 'object');
        await prepared(driver, wanted);
        for (const step of driver.plan(wanted).slice(0, at)) await driver.apply(step);
        await driver.converge(wanted.key);
        await driver.crash();
        assert.equal(
          driver.known(wanted.key),
          undefined,
          `after ${at} steps of the create something is left`,
        );
      }
    },
  },
  {
    name: 'steps of one stage may be carried out in any order',
    run: async (driver) => {
      for (const index of [0, 1, 2]) {
        const way = ways(driver, `turned-${index}`)[index];
        assert.ok(way !== undefined);
        if (way.from !== undefined) await driver.converge(way.from);
        await prepared(driver, way.to);
        const steps = driver
          .plan(way.to)
          .toReversed()
          .toSorted((a, b) => a.stage - b.stage);
        for (const step of steps) await driver.apply(step);
        assert.deepEqual(driver.plan(way.to).map(stepText), [], `${way.what}: something is left to do`);
        await reaches(driver, way);
      }
    },
  },
  {
    name: 'a load balancer keeps its address over a restart',
    run: async (driver) => {
      const wanted = driver.want(driver.service());
      await driver.converge(wanted);
      const before = await driver.ready(wanted);
      await driver.crash();
      await driver.converge(wanted);
      assert.deepEqual(await driver.ready(wanted), before);
    },
  },
  {
    name: 'what somebody changed by hand is found on the next look and planned back',
    requires: ({ world }) =>
      world.drift !== undefined || 'the subject cannot change the world by hand (no drift())',
    run: async (driver) => {
      const wanted = driver.want(driver.service());
      await driver.converge(wanted);
      await driver.observe();
      assert.deepEqual(driver.plan(wanted), []);
      await driver.world.drift?.(wanted.key);
      await driver.observe();
      assert.notDeepEqual(driver.plan(wanted), [], 'the change by hand is not seen');
      await driver.converge(wanted);
      await driver.observe();
      assert.deepEqual(driver.plan(wanted), []);
    },
  },
  {
    name: 'what is aborted already is refused at once, and can be done again later',
    run: async (driver) => {
      const aborted = AbortSignal.abort(new Error('the kit has aborted this call'));
      const wanted = driver.want(driver.service());
      const [step] = driver.plan(wanted);
      assert.ok(step !== undefined);
      await assert.rejects(driver.raw.observe(aborted), 'observe() answers though it was aborted');
      await assert.rejects(
        driver.raw.apply(step, driver.state.view, aborted),
        'apply() answers though it was aborted',
      );
      await driver.observe();
      await driver.converge(wanted);
      await driver.ready(wanted);
    },
  },
];
