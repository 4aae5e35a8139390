import type { Capabilities } from '@berth/core';

/** What the proxy can do; the core reacts to each as `CAPABILITIES` documents. */
export const capabilities: Capabilities = {
  loadBalancerIP: 'honoured',
  protocols: ['TCP', 'UDP'],
  mixedProtocols: true,
  sourceRanges: true,
  targets: 'nodePort',
  families: ['IPv4', 'IPv6'],
  sessionAffinity: true,
  sharing: false,
  healthCheck: true,
};
