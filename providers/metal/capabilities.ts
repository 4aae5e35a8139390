import type { Capabilities } from '@berth/core';

/**
 * What an address on the nodes' own network can do. The node that holds it takes the traffic itself (`targets: none`),
 * and kube-proxy there sees to source ranges, affinity and endpoints.
 */
export const capabilities: Capabilities = {
  loadBalancerIP: 'honoured',
  protocols: ['TCP', 'UDP', 'SCTP'],
  mixedProtocols: true,
  sourceRanges: true,
  targets: 'none',
  families: ['IPv4', 'IPv6'],
  sessionAffinity: true,
  sharing: true,
  healthCheck: false,
};
