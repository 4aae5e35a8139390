/**
 * The kit is held to its promise: for each case there is a provider that breaks just this, and the case notices. The
 * broken ones are the memory provider with one thing wrong.
 */
import { describe, expect, it } from 'vitest';
import type { AddressPool } from '../model/pool.ts';
import type { Capabilities } from '../model/capabilities.ts';
import type { LoadBalancer } from '../model/load-balancer.ts';
import { parseRange, type IpAddress } from '../model/address.ts';
import type { Step } from '../plan/step.ts';
import { createMemoryProvider, MemoryCloud, type MemoryLoadBalancer } from '../provider/memory.ts';
import type { IngressResult, Observed, PlanRequest, Provider } from '../provider/spi.ts';
import { conformanceCases, runCase } from './cases.ts';
import type { ConformanceCase, ConformanceSubject } from './subject.ts';

/** A provider and the cloud below it; `break` is called for each instance, so that a restart loses its memory. */
interface Broken {
  /** Begins the name of the case that must fail. */
  readonly case: string;
  readonly because: string;
  readonly break: (whole: Provider, cloud: MemoryCloud) => Partial<Provider>;
  readonly capabilities?: Partial<Capabilities>;
}

type Plan = Provider['plan'];
type Desire = (wanted: LoadBalancer) => Partial<LoadBalancer>;

/** A planner that sees something else than what is wanted. */
const blind =
  (to: Desire): Broken['break'] =>
  ({ plan }) => ({
    plan: (request, observed) =>
      plan(
        request.scope === 'shared' || request.desired === undefined
          ? request
          : { ...request, desired: { ...request.desired, ...to(request.desired) } },
        observed,
      ),
  });

/** A planner whose answer is altered. */
const altered =
  (
    to: (steps: readonly Step[], request: PlanRequest, observed: Observed) => readonly Step[],
  ): Broken['break'] =>
  ({ plan }) => ({ plan: (request, observed) => to(plan(request, observed), request, observed) });

/** An `apply` around the right one. */
const applied =
  (
    to: (
      step: Step,
      next: () => ReturnType<Provider['apply']>,
      cloud: MemoryCloud,
    ) => ReturnType<Provider['apply']>,
  ): Broken['break'] =>
  ({ apply }, cloud) => ({
    apply: (step, observed, signal) => to(step, () => apply(step, observed, signal), cloud),
  });

const extra = (request: PlanRequest, overrides: Partial<Step> = {}): Step => ({
  scope: request.scope === 'shared' ? 'shared' : request.key,
  verb: 'update',
  resource: 'zzz',
  key: 'x',
  stage: 9,
  because: 'it is broken',
  ...overrides,
});

const ingressAltered =
  (to: (result: IngressResult, wanted: LoadBalancer) => IngressResult): Broken['break'] =>
  ({ ingress }) => ({ ingress: (wanted, have) => to(ingress(wanted, have), wanted) });

const setting =
  (overrides: object): Broken['break'] =>
  ({ settings }) => ({
    settings: { idleTimeoutSeconds: { ...settings['idleTimeoutSeconds']!, ...overrides } },
  });

const signal = new AbortController().signal;
const ready = (ip: string): IngressResult => ({ kind: 'ready', ingress: [{ ip, ipMode: 'VIP' }] });

const BROKEN: readonly Broken[] = [
  { case: 'it speaks the contract', because: 'it speaks another', break: () => ({ contract: 2 }) },
  {
    case: 'it has a short lower-case name',
    because: 'its name has capitals',
    break: () => ({ name: 'Memory' }),
  },
  { case: 'it has a short lower-case name', because: 'it serves no class', break: () => ({ classes: [] }) },
  {
    case: 'it declares every capability',
    because: 'one has a value that does not exist',
    break: ({ capabilities }) => ({ capabilities: { ...capabilities, targets: 'somewhere' as 'none' } }),
  },
  { case: 'each of its settings is documented', because: 'one is not', break: setting({ doc: ' ' }) },
  {
    case: 'each of its settings is documented',
    because: 'a default is no plain value',
    break: setting({ default: new Map() }),
  },
  {
    case: 'its annotations are under its own prefix',
    because: 'one is the core’s',
    break: setting({ annotations: ['berth.dev/timeout'] }),
  },
  {
    case: 'its annotations are under its own prefix',
    because: 'one is another provider’s',
    break: setting({ annotations: ['aws.berth.dev/timeout'] }),
  },
  {
    case: 'its settings are validated synchronously',
    because: 'they are not',
    break: setting({
      schema: { '~standard': { version: 1, vendor: 'x', validate: async () => ({ value: 1 }) } },
    }),
  },
  {
    case: 'closing it twice',
    because: 'the second time it throws',
    break: () => {
      let closed = false;
      return {
        close: async () => {
          if (closed) throw new Error('closed already');
          closed = true;
        },
      };
    },
  },
  {
    case: 'planning is pure',
    because: 'each plan is another one',
    break: (() => {
      let count = 0;
      return altered((steps) => steps.map((step) => ({ ...step, because: `${count++}` })));
    })(),
  },
  {
    case: 'planning is pure',
    because: 'it alters its input',
    break: altered((steps, request) => {
      if (request.scope === 'loadBalancer') (request.desired?.ports as unknown[] | undefined)?.sort();
      return steps;
    }),
  },
  {
    case: 'the order of ports, nodes and pods',
    because: 'it tells of the first port',
    break: altered((steps, request) =>
      request.scope === 'shared'
        ? steps
        : steps.map((step) => ({ ...step, because: `${request.desired?.ports[0]?.port}` })),
    ),
  },
  {
    case: 'plans of a create, an update and a delete',
    because: 'the plan is upside down',
    break: altered((steps) => steps.toReversed()),
  },
  {
    case: 'plans of a create, an update and a delete',
    because: 'a step is there twice',
    break: altered((steps) => steps.flatMap((step) => [step, step])),
  },
  {
    case: 'each step is plain data',
    because: 'it does not say why',
    break: altered((steps) => steps.map((step) => ({ ...step, because: '' }))),
  },
  {
    case: 'each step is plain data',
    because: 'it is a date',
    break: altered((steps) => steps.map((step) => ({ ...step, after: new Date(0) as never }))),
  },
  {
    case: 'each step is plain data',
    because: 'what is created was there before',
    break: altered((steps) => steps.map((step) => (step.verb === 'create' ? { ...step, before: 1 } : step))),
  },
  {
    case: 'when nothing differs the plan is empty',
    because: 'there is always something',
    break: altered((steps, request) => (request.scope === 'shared' ? steps : [...steps, extra(request)])),
  },
  {
    case: 'nothing is planned for what does not exist',
    because: 'it deletes what is not there',
    break: altered((steps, request) =>
      request.scope === 'loadBalancer' && request.desired === undefined && steps.length === 0
        ? [extra(request, { verb: 'delete' })]
        : steps,
    ),
  },
  {
    case: 'a load balancer that is wanted is made',
    because: 'its ingress never comes',
    break: ingressAltered(() => ({ kind: 'pending', code: 'X', message: 'x', retryAfterMs: 1 })),
  },
  {
    case: 'a load balancer that is wanted is made',
    because: 'its ingress is there too early',
    break: ingressAltered(() => ready('192.0.2.1')),
  },
  {
    case: 'an ingress entry has an ip',
    because: 'it has ports',
    break: ingressAltered((result) =>
      result.kind === 'pending'
        ? result
        : { ...result, ingress: result.ingress.map((entry) => ({ ...entry, ports: [] })) },
    ),
  },
  {
    case: 'a fresh look at the world',
    because: 'it sees nothing',
    break: () => ({ observe: async () => ({ environment: 0, shared: 0, loadBalancers: new Map() }) }),
  },
  {
    case: 'a port is added',
    because: 'a port that goes is left there',
    break: altered((steps, request) =>
      request.scope === 'loadBalancer' && request.desired !== undefined
        ? steps.filter(({ verb }) => verb !== 'delete')
        : steps,
    ),
  },
  {
    case: 'a port gets another number',
    because: 'only the first number counts',
    break: blind(({ ports }) => ({ ports: ports.map((port) => ({ ...port, port: 8081 })) })),
  },
  {
    case: 'a port gets another node port',
    because: 'it is not looked at',
    break: blind(({ ports }) => ({ ports: ports.map((port) => ({ ...port, nodePort: 1 })) })),
  },
  {
    case: 'a node that comes or goes',
    because: 'it costs a step for each node',
    break: altered((steps, request) => {
      const targets = request.desired?.targets ?? [];
      const changes = steps.some(({ resource, verb }) => resource === 'targets' && verb === 'update');
      return changes ? [...steps, ...targets.map(({ node }) => extra(request, { key: node }))] : steps;
    }),
  },
  {
    case: 'a node that comes or goes',
    because: 'nodes are not looked at',
    break: blind(() => ({ targets: [] })),
  },
  {
    case: 'a pod that comes or goes',
    because: 'pods are not looked at',
    capabilities: { targets: 'podIP' },
    break: blind(() => ({ endpoints: [] })),
  },
  {
    case: 'a load balancer without any node',
    because: 'it wants at least one',
    break: altered((steps, request) =>
      request.scope === 'loadBalancer' && request.desired?.targets.length === 0
        ? [...steps, extra(request)]
        : steps,
    ),
  },
  {
    case: 'names of 63 characters',
    because: 'it takes 32',
    break: applied((step, next) =>
      step.scope.length > 32 ? Promise.reject(new Error('the name is too long')) : next(),
    ),
  },
  {
    case: 'a load balancer that is no longer wanted goes',
    because: 'it stays',
    break: altered((steps, request) =>
      request.scope === 'loadBalancer' && request.desired === undefined ? [] : steps,
    ),
  },
  {
    case: 'a deletion needs nothing but what was observed',
    because: 'it deletes only what it has made itself',
    break: ({ plan }) => {
      const made = new Set<string>();
      const remembering: Plan = (request, observed) => {
        if (request.scope === 'shared') return [];
        if (request.desired !== undefined) made.add(request.key);
        return request.desired === undefined && !made.has(request.key) ? [] : plan(request, observed);
      };
      return { plan: remembering };
    },
  },
  {
    case: 'two load balancers do not disturb each other',
    because: 'deleting one empties the other',
    break: applied(async (step, next, cloud) => {
      if (step.verb === 'delete')
        for (const key of cloud.loadBalancers.keys()) cloud.tamper(key, (now) => ({ ...now, listeners: {} }));
      return next();
    }),
  },
  {
    case: 'observing some keys',
    because: 'it reads everything',
    break: ({ observe }) => ({ observe: (inner) => observe(inner) }),
  },
  {
    case: 'what load balancers share goes',
    because: 'it stays',
    break: altered((steps, request) =>
      request.scope === 'shared' && request.desired === undefined ? [extra(request)] : steps,
    ),
  },
  {
    case: 'loadBalancerIP honoured: the address',
    because: 'it is not',
    break: blind(() => ({ addresses: ['192.0.2.129' as IpAddress] })),
  },
  {
    case: 'loadBalancerIP honoured: asking for another',
    because: 'it does not move',
    break: blind(() => ({ addresses: ['192.0.2.129' as IpAddress] })),
  },
  {
    case: 'every protocol that it declares',
    because: 'one is not served',
    break: applied((step, next) =>
      step.key.endsWith('/UDP') ? Promise.reject(new Error('no UDP')) : next(),
    ),
  },
  {
    case: 'mixedProtocols: one port number',
    because: 'the second protocol is lost',
    break: altered((steps) => steps.filter(({ key }) => !key.endsWith('/UDP'))),
  },
  {
    case: 'no mixedProtocols',
    because: 'the only one is not served either',
    capabilities: { mixedProtocols: false },
    break: applied((step, next) => (step.resource === 'listener' ? Promise.reject(new Error('no')) : next())),
  },
  { case: 'sourceRanges', because: 'they are not looked at', break: blind(() => ({ sourceRanges: [] })) },
  {
    case: 'families: a Service of IPv6 gets',
    because: 'it has IPv4 only',
    break: ingressAltered((result) => (result.kind === 'pending' ? result : ready('192.0.2.129'))),
  },
  {
    case: 'families: a Service of IPv4 and IPv6',
    because: 'it has IPv4 only',
    break: ingressAltered((result) => (result.kind === 'pending' ? result : ready('192.0.2.129'))),
  },
  {
    case: 'families: a Service of IPv4 gets',
    because: 'it has IPv6 only',
    break: ingressAltered((result) => (result.kind === 'pending' ? result : ready('2001:db8::7'))),
  },
  {
    case: 'sessionAffinity',
    because: 'it is not looked at',
    break: blind(() => ({ clientIPAffinitySeconds: 0 })),
  },
  {
    case: 'sessionAffinity',
    because: 'its time-out is not looked at',
    break: blind(({ clientIPAffinitySeconds }) => ({
      clientIPAffinitySeconds: Math.min(clientIPAffinitySeconds, 1),
    })),
  },
  {
    case: 'healthCheck',
    because: 'it is not looked at',
    break: blind(() => ({ healthCheck: { kind: 'default' } })),
  },
  {
    case: 'a setting that makes a difference',
    because: 'it makes none',
    break: blind(() => ({ settings: { idleTimeoutSeconds: 60 } })),
  },
  {
    case: 'killed after any step',
    because: 'what another process began is not finished',
    break: ({ plan }) => {
      const seen = new Set<string>();
      const stubborn: Plan = (request, observed) => {
        const steps = plan(request, observed);
        if (request.scope === 'shared' || steps[0]?.verb === 'create') {
          if (request.scope === 'loadBalancer') seen.add(request.key);
          if (steps[0]?.resource === 'loadBalancer') return steps;
        }
        return request.scope === 'shared' || seen.has(request.key) ? steps : [];
      };
      return { plan: stubborn };
    },
  },
  {
    case: 'when the reply to any step is lost',
    because: 'a create that is repeated fails',
    break: applied((step, next, cloud) => {
      const there = cloud.loadBalancers.get(step.scope)?.listeners[step.key];
      return step.verb === 'create' && there !== undefined ? Promise.reject(new Error('it exists')) : next();
    }),
  },
  {
    case: 'every step may be repeated',
    because: 'a create that is repeated is made again',
    break: applied(async (step, next, cloud) => {
      if (step.verb === 'create' && step.resource === 'loadBalancer' && cloud.loadBalancers.has(step.scope)) {
        const { uid, frontend } = cloud.loadBalancers.get(step.scope)!;
        await cloud.createLoadBalancer({ key: step.scope, uid }, frontend, signal).catch(() => undefined);
      }
      return next();
    }),
  },
  {
    case: 'every step may be repeated',
    because: 'a delete of what is gone fails',
    break: applied((step, next, cloud) =>
      step.verb === 'delete' && !cloud.loadBalancers.has(step.scope)
        ? Promise.reject(new Error('not found'))
        : next(),
    ),
  },
  {
    case: 'a load balancer that is half made',
    because: 'only a whole one is deleted',
    break: altered((steps, request, observed) => {
      if (request.scope === 'shared' || request.desired !== undefined) return steps;
      const have = observed.loadBalancers.get(request.key) as MemoryLoadBalancer | undefined;
      return Object.keys(have?.listeners ?? {}).length === 0 ? [] : steps;
    }),
  },
  {
    case: 'steps of one stage may be carried out in any order',
    because: 'a listener needs the one before it',
    break: applied((step, next, cloud) => {
      const have = Object.keys(cloud.loadBalancers.get(step.scope)?.listeners ?? {});
      const late =
        step.resource === 'listener' &&
        step.verb === 'create' &&
        step.key.startsWith('8082') &&
        have.length === 0;
      return late ? Promise.reject(new Error('8081 comes first')) : next();
    }),
  },
  {
    case: 'a load balancer keeps its address',
    because: 'it is another one after a restart',
    break: (() => {
      let started = 0;
      return ({ ingress }) => {
        const mine = `192.0.2.${++started}`;
        return {
          ingress: (wanted, have) =>
            ingress(wanted, have).kind === 'pending' ? ingress(wanted, have) : ready(mine),
        };
      };
    })(),
  },
  {
    case: 'what somebody changed by hand',
    because: 'it looks at what it remembers',
    break: ({ observe }) => {
      let first: ReturnType<typeof observe> | undefined;
      return {
        observe: async (inner, keys) => {
          const now = await observe(inner, keys);
          if (now.loadBalancers.size > 0) first ??= Promise.resolve(now);
          return first ?? now;
        },
      };
    },
  },
  {
    case: 'what is aborted already',
    because: 'it goes on',
    break: ({ apply }) => ({ apply: (step, observed) => apply(step, observed, signal) }),
  },
  {
    case: 'what is aborted already',
    because: 'it reads on',
    break: ({ observe }) => ({ observe: (_inner, keys) => observe(signal, keys) }),
  },
  {
    case: 'targets other than nodePort',
    because: 'each plan counts',
    capabilities: { targets: 'none' },
    break: altered((steps, request) => (request.scope === 'shared' ? steps : [...steps, extra(request)])),
  },
];

const pools: readonly AddressPool[] = [
  {
    name: 'default',
    ranges: ['192.0.2.128/28', '2001:db8::/120'].map((text) => parseRange(text)!),
    autoAssign: true,
  },
];

function subjectOf({ break: to, capabilities }: Pick<Broken, 'break' | 'capabilities'>): ConformanceSubject {
  return {
    name: 'broken',
    annotation: ['memory.berth.dev/idle-timeout-seconds', '7'],
    async create() {
      const cloud = new MemoryCloud();
      const make = (): Provider => {
        const whole: Provider = createMemoryProvider(cloud, {
          pools,
          ...(capabilities === undefined ? {} : { capabilities }),
        });
        return { ...whole, ...to(whole, cloud) };
      };
      return {
        provider: make(),
        restart: async () => make(),
        drift: async (key) => cloud.tamper(key, (now) => ({ ...now, listeners: {} })),
        settle: () => Promise.resolve(),
        violations: () => cloud.violations,
        dispose: () => Promise.resolve(),
      };
    },
  };
}

function caseOf(beginning: string): ConformanceCase {
  const found = conformanceCases.filter(({ name }) => name.startsWith(beginning));
  if (found.length !== 1 || found[0] === undefined)
    throw new Error(`${found.length} cases begin with "${beginning}"`);
  return found[0];
}

/** What is asserted of the core, on behalf of a provider that is not asked: no provider can break it. */
const OF_THE_CORE: readonly string[] = [
  'no sourceRanges',
  'no sessionAffinity',
  'no healthCheck',
  'families that it does not declare',
  'loadBalancerIP ignored',
];

describe('the conformance kit', () => {
  it.each(BROKEN)('$case: fails a provider, because $because', async (broken) => {
    await expect(runCase(caseOf(broken.case), subjectOf(broken))).rejects.toBeInstanceOf(Error);
  });

  it.each(BROKEN)(
    '$case: passes the same provider when it is whole',
    async ({ case: beginning, capabilities }) => {
      const whole = subjectOf({ break: () => ({}), ...(capabilities === undefined ? {} : { capabilities }) });
      expect(await runCase(caseOf(beginning), whole)).toEqual({ kind: 'passed' });
    },
  );

  it('has no case that no provider can fail, but those about the core', () => {
    const failed = new Set(
      [...BROKEN.map((broken) => broken.case), ...OF_THE_CORE].map((beginning) => caseOf(beginning).name),
    );
    expect(conformanceCases.map(({ name }) => name).filter((name) => !failed.has(name))).toEqual([]);
  });

  it('gives each case a name of its own', () => {
    expect(new Set(conformanceCases.map(({ name }) => name)).size).toBe(conformanceCases.length);
  });

  it('says why a case does not apply', async () => {
    const outcome = await runCase(caseOf('no sourceRanges'), subjectOf({ break: () => ({}) }));
    expect(outcome).toEqual({ kind: 'skipped', reason: 'capability sourceRanges is true' });
  });

  it('disposes of the world whatever happens', async () => {
    let disposed = 0;
    const subject = subjectOf({ break: () => ({ contract: 2 }) });
    const counting: ConformanceSubject = {
      ...subject,
      create: async () => ({ ...(await subject.create()), dispose: async () => void disposed++ }),
    };
    await expect(runCase(caseOf('it speaks the contract'), counting)).rejects.toBeInstanceOf(Error);
    await runCase(caseOf('no sourceRanges'), counting);
    await runCase(caseOf('closing it twice'), counting);
    expect(disposed).toBe(3);
  });
});
