import type { Capabilities } from '@berth/core';

/**
 * What a Network Load Balancer can do. Session affinity is `false`, because its stickiness has no time-out to set; it
 * is there as a target group attribute.
 */
export const capabilities: Capabilities = {
  loadBalancerIP: 'honoured',
  protocols: ['TCP', 'UDP'],
  mixedProtocols: true,
  sourceRanges: true,
  targets: 'nodePort',
  families: ['IPv4', 'IPv6'],
  sessionAffinity: false,
  sharing: false,
  healthCheck: true,
};
