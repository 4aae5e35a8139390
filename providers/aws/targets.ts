import { compareText, familyOf, note, type Endpoint, type Note, type Target } from '@berth/core';
import type { Desired } from './desired.ts';
import type { PortPlan } from './ports.ts';
import type { TargetState } from './state.ts';

/** `aws:///eu-central-1a/i-0123456789abcdef0` (cloud-provider-aws, `InstanceID`). */
const PROVIDER_ID = /^aws:\/\/(?:\/[^/]*)?\/(i-[0-9a-f]+)$/;

/** The instance behind a node; `undefined` for one without (Fargate, hybrid) or without providerID. */
export function instanceOf({ providerID }: Pick<Target, 'providerID'>): string | undefined {
  return PROVIDER_ID.exec(providerID)?.[1];
}

/** What a port's traffic goes to, sorted: the nodes' instances on the node port, or pods. */
export function targetsOf(
  plan: PortPlan,
  desired: Desired,
  targetType: 'instance' | 'ip',
): readonly TargetState[] {
  return targetType === 'instance' ? instanceTargets(plan, desired) : podTargets(plan, desired);
}

/** The nodes that are left out because there is no instance behind them, each with a reason. */
export function targetNotes({ targets }: Desired): readonly Note[] {
  return targets
    .filter((target) => instanceOf(target) === undefined)
    .map(({ node, providerID }) => {
      const why =
        providerID === ''
          ? 'it has no providerID yet; its cloud provider fills it in'
          : `its providerID ${providerID} is not that of an instance`;
      const message = `node ${node} is no target: ${why}`;
      return {
        ...note('TargetWithoutAddress', `node ${node}`, message),
        code: 'TargetWithoutInstance',
        message,
      };
    });
}

function instanceTargets({ source }: PortPlan, { targets }: Desired): readonly TargetState[] {
  const ids = targets.flatMap((target) => instanceOf(target) ?? []);
  return [...new Set(ids)].toSorted(compareText).map((id) => ({ id, port: source.nodePort }));
}

/** Ready pods of the Service's first family, on the port that its slices give the name of the Service's port. */
function podTargets({ source }: PortPlan, { endpoints, families, ports }: Desired): readonly TargetState[] {
  const family = families[0] ?? 'IPv4';
  const found = endpoints
    .filter(({ ready, address }) => ready && familyOf(address) === family)
    .flatMap((endpoint) => {
      const port = portOn(endpoint, source.name ?? '', ports.length);
      return port === undefined ? [] : [{ id: endpoint.address as string, port }];
    });
  return found.toSorted((a, b) => compareText(a.id, b.id) || a.port - b.port);
}

function portOn({ ports }: Endpoint, name: string, count: number): number | undefined {
  const named = ports.find((port) => port.name === name);
  return (named ?? (count === 1 ? ports[0] : undefined))?.port;
}
