import assert from 'node:assert/strict';
import { familyOf, parseIp, type IpFamily } from '../../model/address.ts';
import type { Capabilities } from '../../model/capabilities.ts';
import type { AddressPool } from '../../model/pool.ts';
import { isBerthError } from '../../model/errors.ts';
import type { Protocol } from '../../model/service.ts';
import { desired } from '../../plan/desired.ts';
import type { Driver } from '../driver.ts';
import type { ConformanceCase, ConformanceTraits } from '../subject.ts';

const PROTOCOLS: readonly Protocol[] = ['TCP', 'UDP', 'SCTP'];
const FAMILIES: readonly IpFamily[] = ['IPv4', 'IPv6'];

type Requirement = (traits: ConformanceTraits) => true | string;

/** The case applies when the capability has this value. */
const has =
  <K extends keyof Capabilities>(name: K, value: Capabilities[K]): Requirement =>
  ({ capabilities }) =>
    capabilities[name] === value || `capability ${name} is ${String(capabilities[name])}`;

const all =
  (...requirements: readonly Requirement[]): Requirement =>
  (traits) =>
    requirements.map((one) => one(traits)).find((answer) => answer !== true) ?? true;

/** Where the nodes take the traffic themselves, their kube-proxy sees to it. */
const forwardsItself: Requirement = ({ capabilities: { targets } }) =>
  targets !== 'none' || 'it forwards nothing, the nodes see to it (capability targets: none)';

const askable: Requirement = ({ subject, world: { provider } }) =>
  provider.pools !== undefined ||
  (subject.addresses ?? []).length > 0 ||
  'the subject names no address that can be asked for';

type ServiceChange = Parameters<Driver['service']>[0];

/** A change of the Service that the provider must carry out; returns its ingress afterwards. */
async function carriesOut(
  driver: Driver,
  change: ServiceChange,
  from: ServiceChange = {},
): Promise<readonly string[]> {
  await driver.converge(driver.want(driver.service(from)));
  const wanted = driver.want(driver.service(change));
  assert.notDeepEqual(driver.plan(wanted), [], 'the change is not planned');
  await driver.converge(wanted);
  const ingress = await driver.ready(wanted);
  await driver.observe();
  assert.deepEqual(driver.plan(wanted), [], 'a fresh look at the world finds differences');
  await driver.converge(driver.want(driver.service()));
  return ingress.flatMap(({ ip }) => (ip === undefined ? [] : [ip]));
}

/** The code with which the core refuses the Service before the provider hears of it; `undefined` when it does not. */
function refusal(driver: Driver, change: ServiceChange): string | undefined {
  try {
    driver.want(driver.service(change));
    return undefined;
  } catch (error) {
    assert.ok(isBerthError(error), String(error));
    return error.code;
  }
}

/** Codes of what the core left out of the Service on the provider's behalf. */
function notes(driver: Driver, change: ServiceChange): readonly string[] {
  const context = { traits: driver.provider, targets: driver.targets, assigned: undefined };
  return desired(driver.service(change), context).notes.map(({ code }) => code);
}

/** The case of a Service of these families. With pools, one of them must have all of the families. */
function familyCase(ipFamilies: readonly IpFamily[]): ConformanceCase {
  const what = ipFamilies.join(' and ');
  return {
    name: `families: a Service of ${what} gets what it asks for`,
    requires: ({ capabilities: { families }, world: { provider } }) => {
      if (!ipFamilies.every((family) => families.includes(family))) return `it does not declare ${what}`;
      const has = ({ ranges }: AddressPool): boolean =>
        ipFamilies.every((family) => ranges.some((range) => range.family === family));
      return (provider.pools?.().some(has) ?? true) || `no pool of the subject has ${what}`;
    },
    run: async (driver) => {
      const ipFamilyPolicy = ipFamilies.length > 1 ? 'RequireDualStack' : 'SingleStack';
      const wanted = driver.want(driver.service({ ipFamilies, ipFamilyPolicy }));
      await driver.converge(wanted);
      const ips = (await driver.ready(wanted)).flatMap(({ ip }) => parseIp(ip ?? '') ?? []);
      if (ips.length > 0) assert.deepEqual(ips.map(familyOf).toSorted(), ipFamilies.toSorted());
      await driver.observe();
      assert.deepEqual(driver.plan(wanted), [], 'a fresh look at the world finds differences');
    },
  };
}

/** What the provider declares that it can do, and the opposite of it. */
export const capabilityCases: readonly ConformanceCase[] = [
  {
    name: 'loadBalancerIP honoured: the address that was asked for is the one in the ingress',
    requires: all(has('loadBalancerIP', 'honoured'), askable),
    run: async (driver) => {
      const loadBalancerIP = driver.askableAddress();
      assert.ok(loadBalancerIP !== undefined, 'no address can be asked for');
      const wanted = driver.want(driver.service({ loadBalancerIP }));
      assert.deepEqual(wanted.addresses, [loadBalancerIP]);
      await driver.converge(wanted);
      const ips = (await driver.ready(wanted)).flatMap(({ ip }) => (ip === undefined ? [] : [ip]));
      // A cloud may answer with a host name, which stands for the address that was asked for.
      if (ips.length > 0) assert.deepEqual(ips, [loadBalancerIP]);
    },
  },
  {
    name: 'loadBalancerIP honoured: asking for another address moves the load balancer there',
    requires: all(has('loadBalancerIP', 'honoured'), askable),
    run: async (driver) => {
      const loadBalancerIP = driver.askableAddress();
      assert.ok(loadBalancerIP !== undefined, 'no address can be asked for');
      const ips = await carriesOut(driver, { loadBalancerIP });
      if (ips.length > 0) assert.deepEqual(ips, [loadBalancerIP]);
    },
  },
  {
    name: 'loadBalancerIP ignored: the request is dropped, nothing fails and nothing differs',
    requires: has('loadBalancerIP', 'ignored'),
    run: async (driver) => {
      const asking = { loadBalancerIP: '192.0.2.200' };
      assert.ok(notes(driver, asking).includes('LoadBalancerIPIgnored'));
      await driver.converge(driver.want(driver.service()));
      assert.deepEqual(driver.plan(driver.want(driver.service(asking))), []);
      await driver.ready(driver.want(driver.service(asking)));
    },
  },
  {
    name: 'every protocol that it declares is served, and ports of others are left out by the core',
    run: async (driver) => {
      const { protocols } = driver.provider.capabilities;
      for (const protocol of PROTOCOLS) {
        const change = { name: protocol.toLowerCase(), ports: [driver.port(0, { protocol })] };
        if (!protocols.includes(protocol)) {
          assert.equal(refusal(driver, change), 'ProtocolUnsupported');
          continue;
        }
        const wanted = driver.want(driver.service(change));
        await driver.converge(wanted);
        await driver.ready(wanted);
        await driver.converge(wanted.key);
      }
    },
  },
  {
    name: 'mixedProtocols: one port number is served with several protocols',
    requires: has('mixedProtocols', true),
    run: async (driver) => {
      const { protocols } = driver.provider.capabilities;
      const ports = protocols.map((protocol) =>
        // As the API server allocates them: one number for one port, whatever its protocols.
        driver.port(0, { name: `port-${protocol.toLowerCase()}`, protocol }),
      );
      const wanted = driver.want(driver.service({ ports }));
      assert.equal(wanted.ports.length, protocols.length);
      await driver.converge(wanted);
      await driver.ready(wanted);
      await driver.observe();
      assert.deepEqual(driver.plan(wanted), []);
    },
  },
  {
    name: 'no mixedProtocols: ports of a second protocol are left out, and the others are served',
    requires: has('mixedProtocols', false),
    run: async (driver) => {
      const [first = 'TCP', second = PROTOCOLS.find((protocol) => protocol !== first) ?? 'UDP'] =
        driver.provider.capabilities.protocols;
      const ports = [driver.port(0, { protocol: first }), driver.port(1, { protocol: second })];
      const wanted = driver.want(driver.service({ ports }));
      assert.deepEqual(
        wanted.ports.map(({ protocol }) => protocol),
        [first],
      );
      await driver.converge(wanted);
      await driver.ready(wanted);
    },
  },
  {
    name: 'sourceRanges: a change of who may connect is carried out',
    requires: all(has('sourceRanges', true), forwardsItself),
    run: async (driver) => void (await carriesOut(driver, { loadBalancerSourceRanges: ['198.51.100.0/24'] })),
  },
  {
    name: 'no sourceRanges: what should be limited is refused rather than opened',
    requires: has('sourceRanges', false),
    run: async (driver) => {
      assert.equal(refusal(driver, {}), undefined);
      assert.equal(
        refusal(driver, { loadBalancerSourceRanges: ['198.51.100.0/24'] }),
        'SourceRangesUnsupported',
      );
    },
  },
  ...([['IPv4'], ['IPv6'], ['IPv4', 'IPv6']] as const).map(familyCase),
  {
    name: 'families that it does not declare are refused by the core',
    requires: ({ capabilities: { families } }) =>
      FAMILIES.some((family) => !families.includes(family)) || 'it declares both families',
    run: async (driver) => {
      const { families } = driver.provider.capabilities;
      const ipFamilies = FAMILIES.filter((family) => !families.includes(family));
      assert.equal(refusal(driver, { ipFamilies }), 'FamilyUnsupported');
      assert.equal(refusal(driver, {}), undefined);
    },
  },
  {
    name: 'sessionAffinity: ClientIP and its time-out are carried out',
    requires: all(has('sessionAffinity', true), forwardsItself),
    run: async (driver) => {
      const sticky = (seconds: number) =>
        ({ sessionAffinity: 'ClientIP', sessionAffinityTimeoutSeconds: seconds }) as const;
      await carriesOut(driver, sticky(600));
      await carriesOut(driver, sticky(900), sticky(600));
    },
  },
  {
    name: 'no sessionAffinity: the request is dropped, nothing fails and nothing differs',
    requires: has('sessionAffinity', false),
    run: async (driver) => {
      const sticky = { sessionAffinity: 'ClientIP' } as const;
      assert.ok(notes(driver, sticky).includes('SessionAffinityIgnored'));
      await driver.converge(driver.want(driver.service()));
      assert.deepEqual(driver.plan(driver.want(driver.service(sticky))), []);
    },
  },
  {
    name: 'healthCheck: externalTrafficPolicy Local moves the probe to the healthCheckNodePort',
    requires: all(has('healthCheck', true), has('targets', 'nodePort')),
    run: async (driver) =>
      void (await carriesOut(driver, { externalTrafficPolicy: 'Local', healthCheckNodePort: 30_099 })),
  },
  {
    name: 'no healthCheck: the healthCheckNodePort makes no difference',
    requires: has('healthCheck', false),
    run: async (driver) => {
      const local = { externalTrafficPolicy: 'Local', healthCheckNodePort: 30_099 } as const;
      await driver.converge(driver.want(driver.service(local)));
      assert.deepEqual(
        driver.plan(driver.want(driver.service({ ...local, healthCheckNodePort: 30_100 }))),
        [],
      );
    },
  },
  {
    name: 'targets other than nodePort: the core hands over no nodes, so they make no difference',
    requires: ({ capabilities: { targets } }) => targets !== 'nodePort' || 'it forwards to node ports',
    run: async (driver) => {
      await driver.converge(driver.want(driver.service()));
      assert.deepEqual(driver.plan(driver.want(driver.service(), driver.targets.slice(1))), []);
    },
  },
  {
    name: 'a setting that makes a difference is carried out',
    requires: ({ subject }) => subject.annotation !== undefined || 'the subject names no annotation to try',
    run: async (driver) => {
      const [name, value] = driver.subject.annotation ?? [];
      assert.ok(name !== undefined && value !== undefined);
      await carriesOut(driver, { annotations: { [name]: value } });
    },
  },
];
