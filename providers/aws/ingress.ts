import { REASONS, type IngressResult } from '@berth/core';
import type { Desired } from './desired.ts';
import { planPorts } from './ports.ts';
import type { AwsLoadBalancer } from './state.ts';

/** When to look again while something is being made, in milliseconds. */
const ENSURING_MS = 2_000;
/** When to look again at a load balancer that AWS could not set up, in milliseconds. */
const FAILED_MS = 60_000;

/**
 * The status of a Service: the load balancer's DNS name, as soon as every port has its listener. AWS needs a few
 * minutes until the name answers; it is told at once, as the incumbents do, because it will not change any more.
 */
export function ingress(desired: Desired, have: AwsLoadBalancer | undefined): IngressResult {
  const { plans, refused } = planPorts(desired);
  const balancer = have?.balancer;
  const missing = plans.filter(({ port }) => have?.listeners[String(port)] === undefined);
  if (balancer === undefined || missing.length > 0) {
    return {
      kind: 'pending',
      code: 'Ensuring',
      message: REASONS.Ensuring.meaning,
      retryAfterMs: ENSURING_MS,
    };
  }
  if (balancer.status === 'failed') {
    const message = `AWS could not set the load balancer ${balancer.name} up. Look at its state in AWS, and delete it there to have it made again.`;
    return { kind: 'pending', code: 'LoadBalancerFailed', message, retryAfterMs: FAILED_MS };
  }
  return {
    kind: 'ready',
    ingress: [{ hostname: balancer.dnsName }],
    portErrors: refused.map(({ port: { port, protocol }, code }) => ({ port, protocol, error: code })),
  };
}
