import assert from 'node:assert/strict';
import type { Driver } from '../driver.ts';
import type { ConformanceCase, ConformanceTraits } from '../subject.ts';

/** Without targets the load balancer has no ports and nodes to tell anything about. */
const forwards = ({ capabilities }: ConformanceTraits): true | string =>
  capabilities.targets !== 'none' || 'it forwards to nothing (capability targets: none)';

const nodePorts = ({ capabilities }: ConformanceTraits): true | string =>
  capabilities.targets === 'nodePort' ||
  `it does not forward to node ports (targets: ${capabilities.targets})`;

/** Something of the load balancer must change, and afterwards nothing may differ. */
async function changes(
  driver: Driver,
  ...[from, to]: readonly ReturnType<Driver['service']>[]
): Promise<void> {
  assert.ok(from !== undefined && to !== undefined);
  await driver.converge(driver.want(from));
  const wanted = driver.want(to);
  assert.notDeepEqual(driver.plan(wanted), [], 'the change is not planned');
  await driver.converge(wanted);
  await driver.observe();
  assert.deepEqual(driver.plan(wanted), [], 'after the change a fresh look at the world finds differences');
  await driver.ready(wanted);
}

/** From nothing to a load balancer, through its changes, to nothing again. */
export const lifecycleCases: readonly ConformanceCase[] = [
  {
    name: 'a load balancer that is wanted is made, and its ingress becomes ready',
    run: async (driver) => {
      const wanted = driver.want(driver.service());
      assert.equal(driver.ingress(wanted).kind, 'pending', 'it has an ingress before anything was made');
      await driver.converge(wanted);
      const ingress = await driver.ready(wanted);
      assert.ok(ingress.length > 0, 'the ingress is empty');
    },
  },
  {
    name: 'an ingress entry has an ip with its ipMode or a hostname, and leaves ports to the core',
    run: async (driver) => {
      const wanted = driver.want(driver.service());
      await driver.converge(wanted);
      for (const { ip, hostname, ipMode, ...rest } of await driver.ready(wanted)) {
        assert.ok((ip ?? hostname ?? '') !== '', 'an entry has neither ip nor hostname');
        assert.equal(ipMode !== undefined, ip !== undefined, 'ipMode belongs to an ip');
        assert.deepEqual(rest, {});
      }
    },
  },
  {
    name: 'a fresh look at the world finds what was made, and nothing to do',
    run: async (driver) => {
      const wanted = driver.want(driver.service());
      await driver.converge(wanted);
      await driver.observe();
      assert.equal(driver.known(wanted.key)?.uid, wanted.uid);
      assert.deepEqual(driver.plan(wanted), []);
    },
  },
  {
    name: 'a port is added, and removed again',
    requires: forwards,
    run: async (driver) => {
      const one = driver.service();
      const two = driver.service({ ports: [driver.port(0), driver.port(1)] });
      await changes(driver, one, two);
      await changes(driver, two, one);
    },
  },
  {
    name: 'a port gets another number',
    requires: forwards,
    run: (driver) => changes(driver, driver.service(), driver.service({ ports: [driver.port(1)] })),
  },
  {
    name: 'a port gets another node port',
    requires: nodePorts,
    run: (driver) =>
      changes(driver, driver.service(), driver.service({ ports: [driver.port(0, { nodePort: 30_077 })] })),
  },
  {
    name: 'a node that comes or goes costs one step, whatever the number of ports (one for each where a port has targets of its own)',
    requires: nodePorts,
    run: async (driver) => {
      const service = driver.service({ ports: [driver.port(0), driver.port(1)] });
      const allowed = driver.subject.targetsPerPort === true ? 2 : 1;
      const fewer = driver.targets.slice(1);
      await driver.converge(driver.want(service));
      for (const targets of [fewer, driver.targets]) {
        const steps = await driver.converge(driver.want(service, targets));
        assert.ok(steps.length > 0, 'the node change is not planned');
        assert.ok(steps.length <= allowed, `${steps.length} steps for one node`);
        assert.deepEqual(driver.plan(driver.want(service, targets)), []);
      }
    },
  },
  {
    name: 'a pod that comes or goes costs one step, whatever the number of ports (one for each where a port has targets of its own)',
    requires: ({ capabilities: { targets } }) =>
      targets === 'podIP' || `it does not forward to pods (targets: ${targets})`,
    run: async (driver) => {
      const service = driver.service({ ports: [driver.port(0), driver.port(1)] });
      const allowed = driver.subject.targetsPerPort === true ? 2 : 1;
      await driver.converge(driver.want(service));
      for (const endpoints of [driver.endpoints.slice(1), driver.endpoints]) {
        const steps = await driver.converge(driver.want(service, [], endpoints));
        assert.ok(steps.length > 0, 'the change of pods is not planned');
        assert.ok(steps.length <= allowed, `${steps.length} steps for one pod`);
      }
    },
  },
  {
    name: 'a load balancer without any node converges, and takes the first node that comes',
    requires: nodePorts,
    run: async (driver) => {
      const service = driver.service();
      const none = driver.want(service, []);
      await driver.converge(none);
      await driver.observe();
      assert.deepEqual(driver.plan(none), []);
      assert.notDeepEqual(driver.plan(driver.want(service)), []);
      await driver.converge(driver.want(service));
    },
  },
  {
    name: 'names of 63 characters are served',
    run: async (driver) => {
      const long = { namespace: 'n'.repeat(63), name: 's'.repeat(63) };
      const wanted = driver.want(driver.service(long));
      await driver.converge(wanted);
      await driver.ready(wanted);
      await driver.converge(wanted.key);
      assert.equal(driver.known(wanted.key), undefined);
    },
  },
  {
    name: 'a load balancer that is no longer wanted goes, and nothing of it is left',
    run: async (driver) => {
      const wanted = driver.want(driver.service());
      await driver.converge(wanted);
      assert.notDeepEqual(driver.plan(wanted.key), []);
      await driver.converge(wanted.key);
      assert.equal(driver.known(wanted.key), undefined);
      await driver.observe();
      assert.equal(driver.known(wanted.key), undefined, 'a fresh look at the world still finds it');
    },
  },
  {
    name: 'a deletion needs nothing but what was observed: the Service may be gone, or another one of its name be there',
    run: async (driver) => {
      const wanted = driver.want(driver.service({ uid: 'uid-first' }));
      await driver.converge(wanted);
      await driver.crash();
      await driver.converge(wanted.key);
      assert.equal(driver.known(wanted.key), undefined);
      const again = driver.want(driver.service({ uid: 'uid-second' }));
      await driver.converge(again);
      assert.equal(driver.known(again.key)?.uid, 'uid-second');
    },
  },
  {
    name: 'two load balancers do not disturb each other',
    run: async (driver) => {
      const one = driver.want(driver.service({ name: 'one' }));
      const two = driver.want(driver.service({ name: 'two', ports: [driver.port(1)] }));
      await driver.converge(one);
      await driver.converge(two);
      assert.deepEqual(driver.plan(one), []);
      const ingress = await driver.ready(two);
      await driver.converge(one.key);
      await driver.observe();
      assert.equal(driver.known(one.key), undefined);
      assert.deepEqual(driver.plan(two), []);
      assert.deepEqual(await driver.ready(two), ingress);
    },
  },
  {
    name: 'observing some keys reads these and no others',
    run: async (driver) => {
      const [one, two] = ['one', 'two'].map((name, index) =>
        driver.service({ name, ports: [driver.port(index)] }),
      );
      assert.ok(one !== undefined && two !== undefined);
      await driver.converge(driver.want(one));
      await driver.converge(driver.want(two));
      const keys = async (...asked: readonly string[]): Promise<readonly string[]> =>
        [...(await driver.provider.observe(driver.signal, asked)).loadBalancers.keys()].toSorted();
      assert.deepEqual(await keys('default/one'), ['default/one']);
      assert.deepEqual(await keys('default/one', 'default/two', 'default/never-seen'), [
        'default/one',
        'default/two',
      ]);
      assert.deepEqual(await keys('default/never-seen'), []);
    },
  },
  {
    name: 'what load balancers share goes when no Service is left',
    run: async (driver) => {
      const wanted = driver.want(driver.service());
      await driver.converge(wanted);
      await driver.converge(wanted.key);
      await driver.convergeShared(undefined);
      await driver.observe();
      assert.deepEqual(driver.provider.plan({ scope: 'shared', desired: undefined }, driver.state.view), []);
    },
  },
];
