import type { EC2Client } from '@aws-sdk/client-ec2';
import type { ElasticLoadBalancingV2Client } from '@aws-sdk/client-elastic-load-balancing-v2';
import { asBerthError, type Clock, type Instrument, type Metrics } from '@berth/core';
import { classify, type AwsService } from './errors.ts';
import { Limiter, type CallOptions } from './limiter.ts';

/** What the SDK's `send` takes beside the command. */
export interface SendOptions {
  readonly abortSignal: AbortSignal;
}

/** What the calls are made with. */
export interface AwsCallsOptions {
  readonly ec2: EC2Client;
  readonly elb: ElasticLoadBalancingV2Client;
  readonly clock: Clock;
  readonly metrics: Metrics;
}

/** Milliseconds by which a time of AWS may differ from another without meaning anything. */
const CLOCK_SLACK_MS = 1_000;

/**
 * Every call of AWS that the provider makes: limited for each service, counted, and with errors that say what the core
 * has to do. The SDK's own retries are off, so that the limiter sees every refusal.
 */
export class AwsCalls {
  readonly #options: AwsCallsOptions;
  readonly #limiters: Readonly<Record<AwsService, Limiter>>;
  readonly #count: Instrument;
  /** AWS's clock minus ours, in milliseconds, by the last answer. */
  #skewMs = 0;

  constructor(options: AwsCallsOptions) {
    const { clock, metrics, ec2, elb } = options;
    this.#options = options;
    this.#limiters = { ec2: new Limiter(clock), elasticloadbalancing: new Limiter(clock) };
    this.#count = metrics.counter('berth_aws_calls_total', 'Calls of the AWS API by operation and outcome', [
      'service',
      'operation',
      'outcome',
    ]);
    for (const client of [ec2, elb]) this.#watchClock(client);
  }

  /** A call of Elastic Load Balancing v2. @throws BerthError */
  elb<T>(
    operation: string,
    send: (client: ElasticLoadBalancingV2Client, options: SendOptions) => Promise<T>,
    options: CallOptions,
  ): Promise<T> {
    const { elb } = this.#options;
    return this.#call({ service: 'elasticloadbalancing', operation }, options, (inner) => send(elb, inner));
  }

  /** A call of EC2. @throws BerthError */
  ec2<T>(
    operation: string,
    send: (client: EC2Client, options: SendOptions) => Promise<T>,
    options: CallOptions,
  ): Promise<T> {
    const { ec2 } = this.#options;
    return this.#call({ service: 'ec2', operation }, options, (inner) => send(ec2, inner));
  }

  /** What time it is for AWS, in milliseconds since the epoch. */
  get now(): number {
    return this.#options.clock.now() + this.#skewMs;
  }

  /** Whether something that AWS says was made at `createdAtMs` is older than a call that began at `sinceMs` (`now`). */
  isOlder(createdAtMs: number, sinceMs: number): boolean {
    return createdAtMs < sinceMs - CLOCK_SLACK_MS;
  }

  /** Lets go of sockets and timers. */
  close(): void {
    for (const limiter of Object.values(this.#limiters)) limiter.close();
    this.#options.ec2.destroy();
    this.#options.elb.destroy();
  }

  #call<T>(
    call: { readonly service: AwsService; readonly operation: string },
    options: CallOptions,
    send: (inner: SendOptions) => Promise<T>,
  ): Promise<T> {
    return this.#limiters[call.service].run(async () => {
      let outcome = 'ok';
      try {
        return await send({ abortSignal: options.signal });
      } catch (error) {
        options.signal.throwIfAborted();
        const known = classify(error, call);
        outcome = known.kind;
        throw known;
      } finally {
        this.#count.record({ ...call, outcome }, 1);
      }
    }, options);
  }

  /** The `Date` of every answer tells AWS's clock, by which the creation times of its resources go. */
  #watchClock(client: EC2Client | ElasticLoadBalancingV2Client): void {
    const watch: Middleware = (next) => async (args) => {
      const result = await next(args);
      const date = Date.parse(result.response?.headers?.['date'] ?? '');
      if (!Number.isNaN(date)) this.#skewMs = date - this.#options.clock.now();
      return result;
    };
    const stack = client.middlewareStack as unknown as Stack;
    stack.add(watch, { step: 'deserialize', priority: 'low', name: 'berthClock' });
  }
}

/** The part of the SDK's middleware that is used here; its own types differ from client to client. */
interface Result {
  readonly response?: { readonly headers?: Readonly<Record<string, string>> };
}
type Handler = (args: unknown) => Promise<Result>;
type Middleware = (next: Handler) => Handler;
interface Stack {
  add(middleware: Middleware, options: { step: 'deserialize'; priority: 'low'; name: string }): void;
}

/** Whether an error says that a resource is not there. */
export function isGone(error: unknown): boolean {
  return asBerthError(error).kind === 'Conflict';
}
