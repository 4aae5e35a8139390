import { Denied, Transient } from '@berth/core';
import type { PlainError } from './protocol.ts';

/** Raw sockets are not allowed: without them no address can be announced. */
export class MissingCapability extends Denied {
  constructor(cause?: unknown) {
    super('MissingCapability', {
      message: 'the speaker lacks CAP_NET_RAW, without which it can neither answer ARP nor NDP',
      remedy:
        "In the DaemonSet's container set securityContext.capabilities.add to [NET_RAW] " +
        '(infra/manifests has it), or run `berth speaker` as root',
      cause,
    });
  }
}

/** The heartbeats' address or port cannot be used, so that this node would count as gone. */
export class HeartbeatUnavailable extends Denied {
  // oxlint-disable-next-line eslint/no-useless-constructor -- it gives the code
  constructor(message: string, remedy: string) {
    super('HeartbeatUnavailable', { message, remedy });
  }
}

/** What it means that the worker has ended, or that it could not begin: nothing is answered any more. */
export function wireEnded(error: PlainError): Error {
  const known = wireError(error);
  if (!(known instanceof Transient)) return known;
  return new Transient('WireFailed', {
    message: error.message,
    remedy: 'The speaker has to be started again, which the kubelet does; if it lasts, the log has the cause',
    cause: error,
  });
}

/** What a failure in the worker that goes on means, classified by call and errno. */
export function wireError(error: PlainError): Error {
  const { call, code, message } = error;
  if (code === 'EPERM' && (call === 'socket' || call === 'bind')) return new MissingCapability(message);
  if (code === 'EADDRNOTAVAIL') {
    return new HeartbeatUnavailable(
      'the address for heartbeats is on no interface of this node',
      'Let the speaker run in the host network (hostNetwork: true), and see whether the Node’s InternalIP is right',
    );
  }
  if (code === 'EADDRINUSE') {
    return new HeartbeatUnavailable(
      'the port for heartbeats is taken by another program',
      'Find it with `ss -ulpn` and free UDP port 7947 on the node, which all speakers of the cluster use',
    );
  }
  return new Transient('WireFailed', {
    message,
    remedy: message.includes('Remedy:') ? '' : 'Berth goes on without it; if it lasts, the log has the cause',
    cause: error,
  });
}
