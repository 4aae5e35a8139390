/**
 * `ServiceL2Status` (metallb.io/v1beta1): who announces what, for people, for dashboards and for ourselves after a
 * restart. One object for each Service and node that announces it; node and Service never change in one. Pure.
 */
import { createHash } from 'node:crypto';
import { parseIp, type IpAddress, type ServiceKey } from '@berth/core';
import { toObject } from '../objects.ts';
import { CONFLICT_ANNOTATION } from '../quarantine.ts';
import type { NodeName } from '../election/types.ts';

/** On a ServiceL2Status: JSON `{addresses, epoch, since, because, endpoint}` of the claim that it is about. */
export const CLAIM_ANNOTATION = 'berth.dev/claim';
/** Labels that MetalLB gives to its objects. */
export const LABELS = {
  node: 'metallb.io/node',
  service: 'metallb.io/service-name',
  namespace: 'metallb.io/service-namespace',
} as const;

/** A ServiceL2Status as it is, or as it should be. */
export interface L2Status {
  /** Of the object itself. */
  readonly name: string;
  readonly namespace: string;
  readonly node: NodeName;
  readonly service: ServiceKey;
  /** Names; empty when the advertisements do not restrict them. */
  readonly interfaces: readonly string[];
  /** What is claimed; absent on an object that is not of Berth's speakers. */
  readonly claim?: {
    readonly addresses: readonly IpAddress[];
    readonly epoch: number;
    readonly since: string;
    /** Why this node, for people. */
    readonly because?: string;
    /** Where the speaker says more (see `ProcessHost.serve`). */
    readonly endpoint?: string;
  };
  /** When the object was made, RFC 3339; absent on what was not read from the API server. */
  readonly created?: string;
  /** JSON of the conflict that a probe found. */
  readonly conflict?: string;
}

/** Reads an object of the API server; `undefined` when it does not say which Service and node it is about. */
export function toL2Status(raw: unknown): L2Status | undefined {
  const { name, namespace, labels, annotations, created, status } = toObject(raw);
  const said = (status ?? {}) as Record<string, unknown>;
  const node = labels[LABELS.node] ?? textOf(said['node']);
  const service = labels[LABELS.service] ?? textOf(said['serviceName']);
  const of = labels[LABELS.namespace] ?? textOf(said['serviceNamespace']);
  if (node === undefined || service === undefined || of === undefined) return undefined;
  const interfaces = Array.isArray(said['interfaces']) ? (said['interfaces'] as { name?: unknown }[]) : [];
  const claim = claimIn(annotations[CLAIM_ANNOTATION]);
  const conflict = annotations[CONFLICT_ANNOTATION];
  return {
    ...(created === '' ? {} : { created }),
    name,
    namespace,
    node,
    service: `${of}/${service}`,
    interfaces: interfaces.flatMap((entry) => textOf(entry?.name) ?? []),
    ...(claim === undefined ? {} : { claim }),
    ...(conflict === undefined ? {} : { conflict }),
  };
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function claimIn(text: string | undefined): L2Status['claim'] {
  if (text === undefined) return undefined;
  try {
    const { addresses, epoch, since, because, endpoint } = JSON.parse(text) as Record<string, unknown>;
    if (!Array.isArray(addresses) || !Number.isSafeInteger(epoch)) return undefined;
    const list = addresses.flatMap((address) =>
      typeof address === 'string' ? (parseIp(address) ?? []) : [],
    );
    return {
      addresses: list,
      epoch: epoch as number,
      since: textOf(since) ?? '',
      ...(textOf(because) === undefined ? {} : { because: textOf(because) ?? '' }),
      ...(textOf(endpoint) === undefined ? {} : { endpoint: textOf(endpoint) ?? '' }),
    };
  } catch {
    return undefined;
  }
}

/** The name of the object of a Service on a node: the same again and again, so that a repeated create is no second one. */
export function nameFor(service: ServiceKey, node: NodeName): string {
  return `l2-${createHash('sha256').update(`${service}@${node}`).digest('hex').slice(0, 16)}`;
}

/** The object to create; its `status` is written after it, through its own path. */
export function toRaw(status: L2Status): object {
  const [namespace = '', name = ''] = status.service.split('/');
  return {
    apiVersion: 'metallb.io/v1beta1',
    kind: 'ServiceL2Status',
    metadata: {
      name: status.name,
      namespace: status.namespace,
      labels: { [LABELS.node]: status.node, [LABELS.service]: name, [LABELS.namespace]: namespace },
      annotations: annotationsOf(status),
    },
    spec: {},
    status: rawStatus(status),
  };
}

/** The annotations; `null` takes one away in a merge patch. */
export function annotationsOf({ claim, conflict }: L2Status): Readonly<Record<string, string | null>> {
  return {
    ...(claim === undefined ? {} : { [CLAIM_ANNOTATION]: JSON.stringify(claim) }),
    ...(conflict === undefined ? {} : { [CONFLICT_ANNOTATION]: conflict }),
  };
}

/** The `status` part. */
export function rawStatus({ node, service, interfaces }: L2Status): object {
  const [serviceNamespace = '', serviceName = ''] = service.split('/');
  return { node, serviceName, serviceNamespace, interfaces: interfaces.map((name) => ({ name })) };
}

/** One write. */
export type StatusWrite =
  | { readonly type: 'create'; readonly status: L2Status }
  | { readonly type: 'annotate'; readonly status: L2Status; readonly before: L2Status }
  | { readonly type: 'status'; readonly status: L2Status }
  | { readonly type: 'delete'; readonly status: L2Status };

/** What the writes are planned from. */
export interface StatusScene {
  readonly self: NodeName;
  /** Where ours are; objects elsewhere are another speaker's business. */
  readonly namespace: string;
  /** What this node announces, or found in conflict. */
  readonly wanted: readonly L2Status[];
  readonly observed: readonly L2Status[];
  /** Nodes whose speakers are heard, this one included. */
  readonly live: ReadonlySet<NodeName>;
  readonly services: ReadonlySet<ServiceKey>;
}

/**
 * The writes of one speaker: its own objects, those of former announcers of what it announces now, and, by the first
 * of the live nodes, those that nobody else will clear away because their node is gone and their Service, too. A former
 * announcer's goes when ours is there, so that at every moment, whoever dies then, something says that the address was
 * announced, and by whom.
 */
export function planWrites({
  self,
  namespace,
  wanted,
  observed,
  live,
  services,
}: StatusScene): readonly StatusWrite[] {
  const ours = new Map(wanted.map((status) => [status.service, status]));
  const first = [...live].toSorted()[0] === self;
  const writes: StatusWrite[] = [];
  const all = observed.filter((one) => one.namespace === namespace);
  const isOurs = (status: L2Status): boolean =>
    status.node === self && status.name === ours.get(status.service)?.name;
  const have = new Map(all.filter(isOurs).map((status) => [status.service, status]));
  for (const status of all) {
    if (isOurs(status)) continue;
    const superseded = have.has(status.service) && ours.get(status.service)?.claim !== undefined;
    const orphaned = first && !services.has(status.service) && !live.has(status.node);
    if (status.node === self || superseded || orphaned) writes.push({ type: 'delete', status });
  }
  for (const status of wanted) {
    const before = have.get(status.service);
    if (before === undefined) writes.push({ type: 'create', status });
    else {
      if (!sameAnnotations(status, before)) writes.push({ type: 'annotate', status, before });
      if (status.interfaces.join() !== before.interfaces.join()) writes.push({ type: 'status', status });
    }
  }
  return writes;
}

function sameAnnotations(a: L2Status, b: L2Status): boolean {
  return a.conflict === b.conflict && JSON.stringify(a.claim) === JSON.stringify(b.claim);
}
