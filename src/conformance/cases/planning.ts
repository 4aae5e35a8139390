import assert from 'node:assert/strict';
import type { LoadBalancer } from '../../model/load-balancer.ts';
import { ordered, type Step } from '../../plan/step.ts';
import type { Driver } from '../driver.ts';
import type { ConformanceCase } from '../subject.ts';

/** A load balancer with several ports and targets, wanted while another form of it exists. */
async function changed(driver: Driver): Promise<LoadBalancer> {
  await driver.converge(driver.want(driver.service(), driver.targets.slice(0, 1)));
  return driver.want(driver.service({ ports: [driver.port(2), driver.port(1)] }));
}

/** What a plan is: a pure comparison with an ordered, printable answer. */
export const planningCases: readonly ConformanceCase[] = [
  {
    name: 'planning is pure: the same input gives the same plan, and the input is not altered',
    run: async (driver) => {
      const wanted = await changed(driver);
      const before = structuredClone(wanted);
      assert.deepEqual(driver.plan(wanted), driver.plan(wanted));
      assert.deepEqual(wanted, before);
    },
  },
  {
    name: 'the order of ports, nodes and pods in the input makes no difference to the plan',
    run: async (driver) => {
      const wanted = await changed(driver);
      const turned = {
        ...wanted,
        ports: wanted.ports.toReversed(),
        targets: wanted.targets.toReversed(),
        endpoints: wanted.endpoints.toReversed(),
      };
      assert.deepEqual(driver.plan(turned), driver.plan(wanted));
      await driver.converge(wanted);
      assert.deepEqual(driver.plan(turned), [], 'after convergence the turned input is a difference');
    },
  },
  {
    name: 'plans of a create, an update and a delete are in the total order, each step once and in its scope',
    run: async (driver) => {
      const plans: (readonly Step[])[] = [driver.plan(driver.want(driver.service()))];
      const wanted = await changed(driver);
      plans.push(driver.plan(wanted));
      await driver.converge(wanted);
      plans.push(driver.plan(wanted.key));
      for (const steps of plans) {
        assert.deepEqual(steps, ordered(steps));
        assert.equal(new Set(steps.map(({ resource, key }) => `${resource} ${key}`)).size, steps.length);
        for (const { scope } of steps) assert.equal(scope, wanted.key);
      }
    },
  },
  {
    name: 'each step is plain data that can be printed, and says for people why it is needed',
    run: async (driver) => {
      const wanted = await changed(driver);
      const steps = [...driver.plan(wanted), ...driver.plan(wanted.key)];
      for (const step of steps) {
        assert.deepEqual(JSON.parse(JSON.stringify(step)), step);
        assert.notEqual(
          step.because.trim(),
          '',
          `${step.verb} ${step.resource} ${step.key} does not say why`,
        );
        assert.ok(Number.isInteger(step.stage) && step.stage >= 0, `stage ${step.stage}`);
        if (step.verb === 'create') assert.equal(step.before, undefined, 'a create has a "before"');
        if (step.verb === 'delete') assert.equal(step.after, undefined, 'a delete has an "after"');
      }
    },
  },
  {
    name: 'when nothing differs the plan is empty, and when something does it is not',
    run: async (driver) => {
      const wanted = driver.want(driver.service());
      assert.notDeepEqual(driver.plan(wanted), []);
      await driver.converge(wanted);
      assert.deepEqual(driver.plan(wanted), []);
    },
  },
  {
    name: 'nothing is planned for what does not exist and is not wanted',
    run: async (driver) => {
      assert.deepEqual(driver.plan('default/never-seen'), []);
      await driver.converge(driver.want(driver.service()));
      assert.deepEqual(driver.plan('default/never-seen'), []);
    },
  },
];
