import { portText, REASONS, type IngressResult, type LoadBalancer, type PortStatus } from '@berth/core';
import type { LocalSettings } from './settings.ts';
import type { LocalLoadBalancer } from './state.ts';

/** When to look again while something is being opened, in milliseconds. */
const ENSURING_MS = 1_000;
/** When to try a port again that could not be opened, in milliseconds. */
const FAILED_MS = 30_000;

/**
 * The status of a Service: its addresses as soon as one port works, with the reason for each that does not.
 * `ipMode: Proxy`, so that kube-proxy does not answer for the address inside the cluster: that would pass the proxy by.
 */
export function ingress(
  desired: LoadBalancer<LocalSettings>,
  have: LocalLoadBalancer | undefined,
): IngressResult {
  const listeners = desired.ports.map((port) => {
    const state = have?.listeners[portText(port)];
    return { port, state: state?.addresses.join() === desired.addresses.join() ? state : undefined };
  });
  const missing = listeners.filter(({ state }) => state === undefined);
  if (missing.length > 0) {
    return {
      kind: 'pending',
      code: 'Ensuring',
      message: REASONS.Ensuring.meaning,
      retryAfterMs: ENSURING_MS,
    };
  }
  const failures = listeners.flatMap(({ port, state }) =>
    state?.failure === undefined ? [] : [{ port, failure: state.failure }],
  );
  const [first] = failures;
  if (first !== undefined && failures.length === listeners.length) {
    const { code, message, remedy } = first.failure;
    return { kind: 'pending', code, message: `${message}. ${remedy}.`, retryAfterMs: FAILED_MS };
  }
  return {
    kind: 'ready',
    ingress: desired.addresses.map((ip) => ({ ip, ipMode: 'Proxy' })),
    portErrors: failures.map(({ port: { port, protocol }, failure }): Required<PortStatus> => ({
      port,
      protocol,
      error: failure.code,
    })),
  };
}
