import { parseIp } from '../model/address.ts';
import { type BerthError } from '../model/errors.ts';
import { REASONS, type Note } from '../model/reasons.ts';
import { keyOf, type Ingress, type Service, type ServiceKey } from '../model/service.ts';
import { traceText, tracesOf, type Traces } from '../plan/change.ts';
import type { Instrument, Log } from '../provider/spi.ts';
import type { Decision } from './decide.ts';
import { appliedAnnotation } from './applied.ts';
import type { Cluster } from './ports.ts';
import type { Outcome } from './queue.ts';
import { REACTIONS } from './reactions.ts';
import type { ProviderRuntime } from './runtime.ts';
import { ingressOf, verdictOf, type Verdict } from './status.ts';

/** What a reporter works with. */
export interface ReporterOptions {
  readonly cluster: Pick<Cluster, 'services' | 'writes' | 'events'>;
  readonly log: Log;
  /** Gauge with labels namespace, name, reason: 1 for the reason that holds. */
  readonly conditions: Instrument;
  /** Counter of syncs with label outcome. */
  readonly syncs: Instrument;
}

/** The verdict that a Service got in its last pass, for metrics, `berth status` and `berth explain`. */
export interface LastPass {
  readonly uid: string;
  readonly verdict: Verdict;
  readonly notes: readonly Note[];
  /** Whether everything was as it should be when the pass ended, so that a later difference is drift. */
  readonly clean: boolean;
}

/** What a pass found out about a Service that it wants served. */
export interface Finding {
  readonly runtime: ProviderRuntime;
  readonly decision: Decision;
  readonly error: BerthError | undefined;
}

/** What is written about a Service. */
interface Telling {
  readonly ingress: readonly Ingress[];
  readonly verdict: Verdict;
  readonly notes: readonly Note[];
  readonly clean: boolean;
  /** What is remembered once nothing is left to do; absent: left as it is. */
  readonly annotations?: Readonly<Record<string, string | null>>;
}

/**
 * Tells the outcome of a pass: the Service's status (one patch, only when it differs), events, the condition metric.
 * Errors are told as `REACTIONS` says.
 */
export class Reporter {
  readonly #options: ReporterOptions;
  readonly #last = new Map<ServiceKey, LastPass>();
  /** Services whose spec changed since they were last said to be done: people are told when they are again. */
  readonly #edited = new Set<ServiceKey>();

  /** What Berth's traces in a Service are after its latest write, as text. */
  readonly #written = new Map<ServiceKey, string>();

  constructor(options: ReporterOptions) {
    this.#options = options;
  }

  /** What the last pass found; `undefined` before the first one. */
  lastPass(key: ServiceKey): LastPass | undefined {
    return this.#last.get(key);
  }

  /** Notes that somebody edited the Service, so that the next success is worth an event. */
  edited(key: ServiceKey): void {
    this.#edited.add(key);
  }

  /** Says which traces a write is about to leave, so that its echo is told from somebody else's edit. */
  writing(key: ServiceKey, traces: Traces): void {
    this.#written.set(key, traceText(traces));
  }

  /** Whether the traces in the object are what Berth wrote last: the watch may be faster than the answer. */
  wrote(key: ServiceKey, object: Service): boolean {
    return this.#written.get(key) === traceText(tracesOf(object));
  }

  /** An event for people; never waited for. */
  event(service: Service, type: 'Normal' | 'Warning', event: { reason: string; message: string }): void {
    this.#options.cluster.events.record(service, { type, ...event });
  }

  /** Tells people that somebody else writes what Berth writes into the Service, too. */
  contested(key: ServiceKey): void {
    const service = this.#options.cluster.services.get(key);
    const { meaning, remedy } = REASONS.StatusContested;
    const message = `${meaning}. ${remedy}.`;
    this.#options.log.warn({ service: key, code: 'StatusContested' }, message);
    if (service !== undefined) this.event(service, 'Warning', { reason: 'StatusContested', message });
  }

  /** Remembers that the Service is frozen. Nothing is written: frozen means that. */
  paused(service: Service): void {
    this.#remember(
      service,
      { status: 'Unknown', reason: 'Paused', message: REASONS.Paused.meaning },
      { notes: [], clean: false },
    );
  }

  /** Forgets a Service that is gone or not ours. */
  forget(key: ServiceKey): void {
    const last = this.#last.get(key);
    if (last !== undefined) this.#gauge(key, last.verdict.reason, 0);
    this.#last.delete(key);
    this.#edited.delete(key);
    this.#written.delete(key);
  }

  /** Tells what came of a pass that had a decision, and says when the key is due again. */
  async served(service: Service, finding: Finding, signal: AbortSignal): Promise<Outcome> {
    const { runtime, decision, error } = finding;
    this.#tellNotes(service, decision.notes);
    const observed = runtime.state.view.loadBalancers.get(keyOf(service));
    const result = runtime.provider.ingress(decision.loadBalancer, observed);
    const ingress = result.kind === 'ready' ? ingressOf(result, decision) : saneIngress(service, runtime);
    if (error !== undefined)
      return await this.failed(service, { error, ingress, notes: decision.notes }, signal);
    if (result.kind === 'ready') {
      const annotations = appliedAnnotation(runtime.provider, decision.loadBalancer, observed);
      return await this.#provisioned(service, { ingress, notes: decision.notes, annotations }, signal);
    }
    const verdict: Verdict = { status: 'Unknown', reason: result.code, message: result.message };
    await this.#write(service, { ingress, verdict, notes: decision.notes, clean: false }, signal);
    this.#options.syncs.record({ outcome: 'waiting' }, 1);
    return { requeue: 'after', ms: result.retryAfterMs };
  }

  /** Tells that a pass failed, and says when the key is due again. `ingress` defaults to what is there and sane. */
  async failed(
    service: Service,
    failure: {
      error: BerthError;
      ingress?: readonly Ingress[];
      notes?: readonly Note[];
      runtime?: ProviderRuntime | undefined;
    },
    signal: AbortSignal,
  ): Promise<Outcome> {
    const { error, ingress = saneIngress(service, failure.runtime), notes = [] } = failure;
    const reaction = REACTIONS[error.kind];
    this.#options.syncs.record({ outcome: reaction.outcome }, 1);
    this.#options.log.info({ service: keyOf(service), code: error.code, kind: error.kind }, error.message);
    if (reaction.event && (reaction.requeue !== 'edit' || this.#isNews(service, error)))
      this.event(service, 'Warning', { reason: error.code, message: error.message });
    const { condition: status } = reaction;
    if (status === 'keep') this.#unclean(service);
    else
      await this.#write(
        service,
        { ingress, verdict: verdictFor(status, error), notes, clean: false },
        signal,
      );
    if (error.retryAfterMs !== undefined) return { requeue: 'after', ms: error.retryAfterMs };
    return { requeue: reaction.requeue === 'edit' ? 'forget' : 'backoff' };
  }

  async #provisioned(
    service: Service,
    outcome: Pick<Telling, 'ingress' | 'notes' | 'annotations'>,
    signal: AbortSignal,
  ): Promise<Outcome> {
    const key = keyOf(service);
    const before = verdictOf(service)?.status;
    const verdict: Verdict = {
      status: 'True',
      reason: 'Provisioned',
      message: 'The load balancer is provisioned',
    };
    await this.#write(service, { ...outcome, verdict, clean: true }, signal);
    this.#options.syncs.record({ outcome: 'success' }, 1);
    if (before !== 'True' || this.#edited.has(key)) {
      this.event(service, 'Normal', { reason: 'EnsuredLoadBalancer', message: 'Ensured load balancer' });
    }
    this.#edited.delete(key);
    return { requeue: 'forget' };
  }

  async #write(service: Service, wanted: Telling, signal: AbortSignal): Promise<void> {
    this.#remember(service, wanted.verdict, wanted);
    const { ingress, verdict: condition, annotations = {} } = wanted;
    this.writing(keyOf(service), { ...tracesOf(service), ingress, condition });
    await this.#options.cluster.writes.patchStatus(service, { ingress, condition, annotations }, signal);
  }

  /** Whether people do not know yet what only their edit can mend: passes for other reasons do not tell it again. */
  #isNews(service: Service, error: BerthError): boolean {
    const known = verdictOf(service);
    const edited = this.#edited.delete(keyOf(service));
    return edited || known?.reason !== error.code || known.message !== error.message;
  }

  #unclean(service: Service): void {
    const last = this.#last.get(keyOf(service));
    if (last !== undefined) this.#last.set(keyOf(service), { ...last, clean: false });
  }

  /** Tells each note once: again only when it was not there in the last pass. */
  #tellNotes(service: Service, notes: readonly Note[]): void {
    const last = this.#last.get(keyOf(service));
    const told = new Set(last?.uid === service.uid ? last.notes.map(({ message }) => message) : []);
    for (const { code, severity, message } of notes) {
      if (!told.has(message)) this.event(service, severity, { reason: code, message });
    }
  }

  #remember(
    service: Service,
    verdict: Verdict,
    { notes, clean }: { readonly notes: readonly Note[]; readonly clean: boolean },
  ): void {
    const key = keyOf(service);
    const before = this.#last.get(key);
    if (before !== undefined && before.verdict.reason !== verdict.reason)
      this.#gauge(key, before.verdict.reason, 0);
    this.#last.set(key, { uid: service.uid, verdict, notes, clean });
    this.#gauge(key, verdict.reason, 1);
  }

  #gauge(key: ServiceKey, reason: string, value: 0 | 1): void {
    const [namespace = '', name = ''] = key.split('/');
    this.#options.conditions.record({ namespace, name, reason }, value);
  }
}

function verdictFor(status: Verdict['status'], { code, message }: BerthError): Verdict {
  return { status, reason: code, message };
}

/**
 * The present ingress entries without garbage. An address in the status is the memory of what the Service holds, so it
 * stays there while the Service cannot be served.
 */
function saneIngress(service: Service, runtime: ProviderRuntime | undefined): readonly Ingress[] {
  const pooled = runtime?.book !== undefined;
  return service.ingress.filter(
    ({ ip, hostname }) =>
      (ip !== undefined && parseIp(ip) !== undefined) || (!pooled && hostname !== undefined),
  );
}
