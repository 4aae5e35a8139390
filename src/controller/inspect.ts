import { asBerthError } from '../model/errors.ts';
import type { Endpoint } from '../model/endpoint.ts';
import type { LoadBalancer, Target } from '../model/load-balancer.ts';
import { REASONS, type Note, type ReasonCode } from '../model/reasons.ts';
import { keyOf, type Ingress, type Service, type ServiceKey } from '../model/service.ts';
import { portText } from '../model/service.ts';
import { lifecycleOf } from '../plan/lifecycle.ts';
import { eligibilityOf } from '../plan/nodes.ts';
import { compareText, type Step } from '../plan/step.ts';
import { decide, plannedSteps, waitingFor, type Decision } from './decide.ts';
import type { Cluster } from './ports.ts';
import type { Reporter } from './report.ts';
import type { ProviderRuntime } from './runtime.ts';
import { sharedKey } from './shared.ts';
import { verdictOf } from './status.ts';

/** What `berth plan` prints of one Service, or of what all load balancers of a provider share. */
export interface PlanEntry {
  /** `namespace/name`, or `shared:PROVIDER`. */
  readonly key: ServiceKey;
  readonly provider: string;
  readonly steps: readonly Step[];
  /** Why the Service cannot be as it asks, when it cannot. */
  readonly problem?: { readonly code: string; readonly message: string };
}

/** One line of `berth status`. */
export interface StatusEntry {
  readonly key: ServiceKey;
  readonly provider: string;
  readonly addresses: readonly string[];
  /** Whether the provider's own processes answer for them; see `ProviderFactory.announcements`. */
  readonly announced: boolean;
  readonly ports: readonly string[];
  readonly state: 'True' | 'False' | 'Unknown';
  readonly reason: string;
  readonly message: string;
}

/** What `berth explain` prints. */
export interface Explanation {
  readonly key: ServiceKey;
  readonly found: boolean;
  /** Absent when nobody serves the Service. */
  readonly provider?: string;
  readonly lifecycle: string;
  readonly reason: string;
  readonly message: string;
  readonly remedy: string;
  readonly addresses: readonly string[];
  /** Whether the provider's own processes answer for them. */
  readonly announced: boolean;
  /** `80/TCP to node port 30080`, in the Service's order. */
  readonly ports: readonly string[];
  readonly notes: readonly Note[];
  readonly nodes: readonly {
    readonly name: string;
    readonly takesTraffic: boolean;
    readonly because: string;
  }[];
  /** What the next pass would do. */
  readonly steps: readonly Step[];
}

/** What an inspector looks at. */
export interface InspectorOptions {
  readonly cluster: Pick<Cluster, 'services' | 'nodes'>;
  readonly runtimes: readonly ProviderRuntime[];
  readonly serving: (service: Service) => ProviderRuntime | undefined;
  readonly targets: () => readonly Target[];
  /** Labels of a node. */
  readonly labelsOf: (node: string) => Readonly<Record<string, string>>;
  /** Backends of a Service; `undefined` while they are not known yet. */
  readonly endpoints: (key: ServiceKey) => readonly Endpoint[] | undefined;
  readonly reporter: Pick<Reporter, 'lastPass'>;
}

/** Nothing is written about a frozen Service, so its condition says what it said before. */
const PAUSED = { status: 'Unknown', reason: 'Paused', message: REASONS.Paused.meaning } as const;

/** Answers `berth plan`, `berth status` and `berth explain` from what the controller knows. Changes nothing. */
export class Inspector {
  readonly #options: InspectorOptions;

  constructor(options: InspectorOptions) {
    this.#options = options;
  }

  /**
   * What the next passes would do: first to what load balancers share, then Service by Service, sorted by key. What needs
   * nothing is left out.
   */
  plan(): readonly PlanEntry[] {
    const services = this.#services();
    const shared = this.#options.runtimes.map((runtime) => this.#sharedEntry(runtime, services));
    return [...shared, ...services.flatMap((service) => this.#planOf(service))].filter(
      ({ steps, problem }) => steps.length > 0 || problem !== undefined,
    );
  }

  /** One line for each Service that is ours, sorted by key. */
  status(): readonly StatusEntry[] {
    return this.#services().flatMap((service) => {
      const runtime = this.#options.serving(service);
      if (runtime === undefined || lifecycleOf(service, true) === 'ignore') return [];
      const verdict = this.#verdict(service);
      return [
        {
          key: keyOf(service),
          provider: runtime.provider.name,
          addresses: addressesOf(service.ingress),
          announced: runtime.provider.announces === true,
          ports: service.ports.map(portText),
          state: verdict?.status ?? 'Unknown',
          reason: verdict?.reason ?? 'Ensuring',
          message: verdict?.message ?? REASONS.Ensuring.meaning,
        },
      ];
    });
  }

  /** Why a Service is as it is. */
  explain(key: ServiceKey): Explanation {
    const service = this.#options.cluster.services.get(key);
    if (service === undefined) return this.#unknown(key);
    const runtime = this.#options.serving(service);
    const lifecycle = lifecycleOf(service, runtime !== undefined);
    const entry = this.#planOf(service)[0];
    const reason = this.#reasonOf(service, runtime, entry);
    const decision = runtime === undefined ? undefined : this.#decision(service, runtime);
    return {
      key,
      found: true,
      ...(runtime === undefined ? {} : { provider: runtime.provider.name }),
      lifecycle,
      ...reason,
      addresses: addressesOf(service.ingress),
      announced: runtime?.provider.announces === true,
      ports: service.ports.map((port) =>
        port.nodePort === 0 ? portText(port) : `${portText(port)} to node port ${port.nodePort}`,
      ),
      notes: decision !== undefined && 'notes' in decision ? decision.notes : [],
      // Where nobody serves the Service, no node takes its traffic.
      nodes: runtime === undefined ? [] : this.#nodes(),
      steps: entry?.steps ?? [],
    };
  }

  /** The steps that the next pass over the key takes; `[]` when it cannot be decided. */
  stepsOf(key: ServiceKey, runtime: ProviderRuntime): readonly Step[] {
    const service = this.#options.cluster.services.get(key);
    const entry = service === undefined ? undefined : this.#planOf(service)[0];
    return entry?.provider === runtime.provider.name ? entry.steps : [];
  }

  /** What is wanted for a Service that needs no address assigned; `undefined` when nothing can be. */
  desired(service: Service, runtime: ProviderRuntime): LoadBalancer | undefined {
    if (runtime.book !== undefined) return undefined;
    const decision = this.#decision(service, runtime);
    return 'loadBalancer' in decision ? decision.loadBalancer : undefined;
  }

  #services(): readonly Service[] {
    return this.#options.cluster.services.list().toSorted((a, b) => compareText(keyOf(a), keyOf(b)));
  }

  /** As a pass does it: made before the first load balancer that needs it, gone after the last. */
  #sharedEntry(runtime: ProviderRuntime, services: readonly Service[]): PlanEntry {
    const { provider, needs, state } = runtime;
    const ours = services.filter((service) => this.#options.serving(service) === runtime);
    const wanted = ours.flatMap((service) => {
      if (lifecycleOf(service, true) !== 'ensure') return [];
      const decision = this.#decision(service, runtime);
      return 'loadBalancer' in decision ? [decision.loadBalancer] : [];
    });
    const entry = { key: sharedKey(runtime), provider: provider.name };
    if (wanted.length === 0 && (ours.length > 0 || state.view.loadBalancers.size > 0))
      return { ...entry, steps: [] };
    const all = new Set([...needs.all, ...wanted.flatMap((one) => provider.needs?.(one) ?? [])]);
    const desired = {
      targets: this.#options.targets(),
      needs: [...all].toSorted(compareText),
      complete: needs.complete,
    };
    const request = { scope: 'shared', desired: wanted.length === 0 ? undefined : desired } as const;
    return { ...entry, steps: provider.plan(request, state.view) };
  }

  #planOf(service: Service): readonly PlanEntry[] {
    const key = keyOf(service);
    const runtime = this.#options.serving(service);
    switch (lifecycleOf(service, runtime !== undefined)) {
      case 'cleanup':
        return this.#options.runtimes
          .filter((owner) => owner.has(key))
          .map((owner) => ({
            key,
            provider: owner.provider.name,
            steps: plannedSteps(key, undefined, owner),
          }));
      case 'ensure':
        return runtime === undefined ? [] : [this.#ensureEntry(service, runtime)];
      default:
        return [];
    }
  }

  #ensureEntry(service: Service, runtime: ProviderRuntime): PlanEntry {
    const key = keyOf(service);
    const decision = this.#decision(service, runtime);
    const provider = runtime.provider.name;
    if (!('loadBalancer' in decision)) return { key, provider, steps: [], problem: decision };
    const steps = plannedSteps(key, decision.loadBalancer, runtime);
    const { problem } = decision;
    return {
      key,
      provider,
      steps,
      ...(problem === undefined ? {} : { problem: { code: problem.code, message: problem.message } }),
    };
  }

  #decision(
    service: Service,
    runtime: ProviderRuntime,
  ): Decision | { readonly code: string; readonly message: string } {
    const { cluster, serving, targets, labelsOf, endpoints } = this.#options;
    const waiting = waitingFor(runtime, cluster.services, serving);
    try {
      return decide(service, runtime, { targets: targets(), labelsOf, waiting, endpoints });
    } catch (error) {
      const { code, message } = asBerthError(error);
      return { code, message };
    }
  }

  #reasonOf(
    service: Service,
    runtime: ProviderRuntime | undefined,
    entry: PlanEntry | undefined,
  ): Pick<Explanation, 'reason' | 'message' | 'remedy'> {
    if (runtime === undefined) {
      const wants = service.type === 'LoadBalancer';
      const type = `it is of type ${service.type}, and Berth serves type LoadBalancer`;
      const { remedy } = REASONS.NotServed;
      return {
        reason: 'NotServed',
        message: wants ? this.#whyNotServed(service) : type,
        remedy: wants ? remedy : '',
      };
    }
    const last = this.#verdict(service);
    const code = entry?.problem?.code ?? last?.reason ?? 'Ensuring';
    const known = REASONS[code as ReasonCode];
    const message = entry?.problem?.message ?? last?.message ?? known.meaning;
    return { reason: code, message, remedy: known?.remedy ?? '' };
  }

  /** What is to be said of a Service that somebody serves; `undefined` when nothing was said yet. */
  #verdict(service: Service): ReturnType<typeof verdictOf> {
    if (lifecycleOf(service, true) === 'paused') return PAUSED;
    return this.#options.reporter.lastPass(keyOf(service))?.verdict ?? verdictOf(service);
  }

  #whyNotServed({ loadBalancerClass }: Service): string {
    const { meaning } = REASONS.NotServed;
    const served = this.#options.runtimes.flatMap(({ provider }) => provider.classes);
    const its = loadBalancerClass === undefined ? 'it has no class' : `its class is ${loadBalancerClass}`;
    return `${meaning}: ${its}, and the classes served are ${served.join(', ') || 'none'}`;
  }

  #nodes(): Explanation['nodes'] {
    return [...this.#options.cluster.nodes.list()]
      .toSorted((a, b) => compareText(a.name, b.name))
      .map((node) => {
        const eligibility = eligibilityOf(node);
        const internal = node.addresses.find(({ type }) => type === 'InternalIP')?.address;
        const address = internal === undefined ? 'it has no InternalIP yet' : `at ${internal}`;
        return {
          name: node.name,
          takesTraffic: eligibility.eligible,
          because: eligibility.eligible ? address : eligibility.because,
        };
      });
  }

  #unknown(key: ServiceKey): Explanation {
    return {
      key,
      found: false,
      lifecycle: 'ignore',
      reason: 'ServiceNotFound',
      message: `there is no Service ${key}`,
      remedy: 'Check namespace and name with `kubectl get services --all-namespaces`',
      addresses: [],
      announced: false,
      ports: [],
      notes: [],
      nodes: [],
      steps: [],
    };
  }
}

function addressesOf(ingress: readonly Ingress[]): readonly string[] {
  return ingress.flatMap(({ ip, hostname }) => [ip, hostname].filter((text) => text !== undefined));
}
