import { note, portText, type LoadBalancer, type Note } from '@berth/core';
import { targetsOf } from './plan.ts';
import type { LocalSettings, settings } from './settings.ts';

/**
 * What no single annotation shows: those that have no effect beside the rest of the Service, and nodes that cannot be
 * reached in its IP families. `table` has the defaults in force: what a Service did not ask for is no mistake of it.
 */
export function check(desired: LoadBalancer<LocalSettings>, table: typeof settings): readonly Note[] {
  return [...withoutEffect(desired, table), ...unreachable(desired)];
}

function withoutEffect(desired: LoadBalancer<LocalSettings>, table: typeof settings): readonly Note[] {
  const udp = desired.ports.filter(({ protocol }) => protocol === 'UDP').map(portText);
  const { settings: values, healthCheck } = desired;
  const idle = (names: readonly (keyof LocalSettings)[], why: string): readonly Note[] =>
    names
      .filter((name) => values[name] !== table[name].default)
      .map((name) => {
        const [annotation] = table[name].annotations;
        return note(
          'AnnotationUnsupported',
          `annotation ${annotation}`,
          `${annotation} has no effect: ${why}`,
        );
      });
  const header =
    values.proxyProtocol === 'v2' && udp.length > 0
      ? idle(['proxyProtocol'], `the PROXY protocol is for TCP, not for ${udp.join(', ')}`)
      : [];
  if (healthCheck.kind === 'http') {
    const why = 'the probe is HTTP on a port that Kubernetes chose (externalTrafficPolicy: Local does that)';
    return [...header, ...idle(['healthCheckProtocol', 'healthCheckPort', 'healthCheckPath'], why)];
  }
  if (values.healthCheckProtocol === 'http') return header;
  return [...header, ...idle(['healthCheckPath'], `health-check-protocol is ${values.healthCheckProtocol}`)];
}

function unreachable(desired: LoadBalancer<LocalSettings>): readonly Note[] {
  const reached = new Set(targetsOf(desired).map(({ node }) => node));
  return desired.targets
    .filter(({ node }) => !reached.has(node))
    .map(({ node, addresses }) => {
      const message = `node ${node} is left out: it has ${addresses.join(', ')}, the Service is ${desired.families.join(' and ')}`;
      return note('TargetWithoutAddress', `node ${node}`, message);
    });
}
