/** Whether kube-proxy lets every node's kernel answer ARP for the Services' addresses. Pure. */
import type { DoctorCheck } from '@berth/core';

const CHECK = 'strict-arp';

/**
 * In mode `ipvs` kube-proxy binds every Service's address to the interface kube-ipvs0, for which the kernels of all nodes
 * answer ARP unless `ipvs.strictARP` sets arp_ignore and arp_announce.
 *
 * @param text key `config.conf` of the ConfigMap kube-system/kube-proxy: a KubeProxyConfiguration
 *   (kubeproxy.config.k8s.io/v1alpha1) in YAML or JSON.
 */
export function strictArpCheck(text: string): DoctorCheck {
  const { mode, strictArp } = text.trimStart().startsWith('{') ? fromJson(text) : fromYaml(text);
  if (mode !== 'ipvs') {
    const message = `kube-proxy is in mode ${mode || 'iptables (by default)'}, which binds no Service's address`;
    return { check: CHECK, outcome: 'ok', message };
  }
  if (strictArp) return { check: CHECK, outcome: 'ok', message: 'kube-proxy is in mode ipvs with strictARP' };
  return {
    check: CHECK,
    outcome: 'failed',
    message:
      'kube-proxy is in mode ipvs without strictARP, so the kernels of all nodes answer ARP for every Service',
    remedy: 'Set ipvs.strictARP to true in the ConfigMap kube-system/kube-proxy and restart the kube-proxies',
  };
}

interface Proxy {
  readonly mode: string;
  readonly strictArp: boolean;
}

/** Two keys of the top, as kubeadm and kubectl write them; no YAML of other shapes is read. */
function fromYaml(text: string): Proxy {
  const mode = /^mode:[ \t]*["']?([A-Za-z]*)/m.exec(text)?.[1] ?? '';
  const ipvs = /^ipvs:[ \t]*((?:\{.*)|(?:(?:#.*)?\r?\n(?:[ \t]+.*\r?\n?|\r?\n)*))/m.exec(text)?.[1] ?? '';
  return { mode, strictArp: /\bstrictARP["']?:[ \t]*true\b/.test(ipvs) };
}

function fromJson(text: string): Proxy {
  try {
    const { mode, ipvs } = JSON.parse(text) as { mode?: unknown; ipvs?: { strictARP?: unknown } };
    return { mode: typeof mode === 'string' ? mode : '', strictArp: ipvs?.strictARP === true };
  } catch {
    return { mode: '', strictArp: false };
  }
}
