/** Nodes (core/v1). */
import type { KubeObject, NodeObject, Taint } from '../machinery/objects.ts';
import { kindSchema, resource, type ResourceType } from '../machinery/resource.ts';
import { anything, bool, int, list, object, shown, str, struct, time } from '../machinery/schema.ts';
import type { FieldErrors } from '../machinery/status.ts';
import { ageColumn, type Column, nameColumn } from '../machinery/table.ts';
import { qualifiedNameProblem, validateLabelValue } from '../machinery/validate-meta.ts';

const condition = object({
  type: shown(str, ''),
  status: shown(str, ''),
  lastHeartbeatTime: shown(time, null),
  lastTransitionTime: shown(time, null),
  reason: str,
  message: str,
});

const NODE_INFO = [
  'machineID',
  'systemUUID',
  'bootID',
  'kernelVersion',
  'osImage',
  'containerRuntimeVersion',
  'kubeletVersion',
  'kubeProxyVersion',
  'operatingSystem',
  'architecture',
] as const;

const schema = kindSchema({
  spec: struct({
    podCIDR: str,
    podCIDRs: list(str, ''),
    providerID: str,
    unschedulable: bool,
    taints: list(object({ key: str, value: str, effect: str, timeAdded: time })),
  }),
  status: struct({
    capacity: { kind: 'map', value: anything },
    allocatable: { kind: 'map', value: anything },
    phase: str,
    conditions: list(condition, 'type'),
    // The merge key is the type, although a dual-stack node has two addresses of one type.
    addresses: list(object({ type: shown(str, ''), address: shown(str, '') }), 'type'),
    daemonEndpoints: struct({ kubeletEndpoint: struct({ Port: shown(int, 0) }) }),
    nodeInfo: struct(Object.fromEntries(NODE_INFO.map((field) => [field, shown(str, '')]))),
    images: list(anything),
    volumesInUse: list(str),
    volumesAttached: list(anything),
  }),
});

const node = (object: KubeObject): NodeObject => object as NodeObject;

const addressOf = (object: KubeObject, type: string): string =>
  node(object).status.addresses?.find((each) => each.type === type)?.address ?? '<none>';

const infoOf = (object: KubeObject, field: string): string =>
  node(object).status.nodeInfo?.[field] || '<unknown>';

const columns: readonly Column[] = [
  nameColumn,
  { name: 'Status', description: 'Whether the node is ready.', cell: (object) => statusText(node(object)) },
  { name: 'Roles', description: 'Roles by label.', cell: (object) => roles(node(object)) },
  ageColumn,
  {
    name: 'Version',
    description: 'Version of the kubelet.',
    cell: (object) => node(object).status.nodeInfo?.['kubeletVersion'] ?? '',
  },
  { name: 'Internal-IP', priority: 1, cell: (object) => addressOf(object, 'InternalIP') },
  { name: 'External-IP', priority: 1, cell: (object) => addressOf(object, 'ExternalIP') },
  { name: 'OS-Image', priority: 1, cell: (object) => infoOf(object, 'osImage') },
  { name: 'Kernel-Version', priority: 1, cell: (object) => infoOf(object, 'kernelVersion') },
  { name: 'Container-Runtime', priority: 1, cell: (object) => infoOf(object, 'containerRuntimeVersion') },
];

function statusText({ spec, status }: NodeObject): string {
  const ready = status.conditions?.find(({ type }) => type === 'Ready');
  const readiness = ready === undefined ? 'Unknown' : ready.status === 'True' ? 'Ready' : 'NotReady';
  return spec.unschedulable ? `${readiness},SchedulingDisabled` : readiness;
}

const ROLE = 'node-role.kubernetes.io/';

function roles({ metadata }: NodeObject): string {
  const found = Object.entries(metadata.labels ?? {}).flatMap(([key, value]) => {
    if (key.startsWith(ROLE)) return key.slice(ROLE.length);
    return key === 'kubernetes.io/role' ? value : '';
  });
  return (
    found
      .filter((role) => role !== '')
      .toSorted()
      .join(',') || '<none>'
  );
}

const NOT_READY: Taint = { key: 'node.kubernetes.io/not-ready', effect: 'NoSchedule' };

/** The resource `nodes`. A node that comes in through the API is tainted not-ready, as admission does it. */
export const nodes: ResourceType = resource({
  plural: 'nodes',
  singular: 'node',
  kind: 'Node',
  shortNames: ['no'],
  namespaced: false,
  schema,
  columns,
  status: true,
  selectable: {
    known: ['spec.unschedulable'],
    fields: (object) => ({
      'metadata.name': object.metadata.name,
      'spec.unschedulable': String(node(object).spec.unschedulable ?? false),
    }),
  },
  rules: {
    defaults: (next) => {
      const status = next['status'] as { allocatable?: unknown; capacity?: unknown };
      if (status.capacity !== undefined) status.allocatable ??= status.capacity;
    },
    admit: (next) => {
      const { spec } = node(next);
      if (spec.taints?.some(({ key, effect }) => key === NOT_READY.key && effect === NOT_READY.effect))
        return;
      spec.taints = [...(spec.taints ?? []), { ...NOT_READY }];
    },
    prepare: (next, previous) => {
      if (previous) next['status'] = previous['status'];
    },
    validate: (next, errors, previous) => validate(node(next), errors, previous && node(previous)),
    validateStatus: (next, errors, previous) => validate(node(next), errors, node(previous)),
  },
});

function validate(next: NodeObject, errors: FieldErrors, previous: NodeObject | undefined): void {
  validateTaints(next.spec.taints ?? [], errors);
  const addresses = (next.status.addresses ?? []).map((address) => JSON.stringify(address));
  for (const [index, address] of addresses.entries()) {
    if (addresses.indexOf(address) !== index) {
      errors.duplicate(`status.addresses[${index}]`, next.status.addresses?.[index]);
    }
  }
  const before = previous?.spec.providerID;
  if (before !== undefined && before !== next.spec.providerID) {
    const why = 'node updates may not change providerID except from "" to valid';
    errors.forbidden('spec.providerID', why);
  }
  const cidrs = previous?.spec.podCIDRs;
  if (cidrs !== undefined && JSON.stringify(cidrs) !== JSON.stringify(next.spec.podCIDRs)) {
    errors.forbidden('spec.podCIDRs', 'node updates may not change podCIDR except from "" to valid');
  }
}

/** The path is `metadata.taints`: so it is in the API server's answer. */
function validateTaints(taints: readonly Taint[], errors: FieldErrors): void {
  const seen = new Set<string>();
  for (const [index, taint] of taints.entries()) {
    const path = `metadata.taints[${index}]`;
    const problem = qualifiedNameProblem(taint.key ?? '');
    if (problem !== undefined) errors.invalid(`${path}.key`, taint.key, problem);
    if (taint.value !== undefined) validateLabelValue(`${path}.value`, taint.value, errors);
    if (taint.effect === undefined) errors.required(`${path}.effect`);
    else errors.oneOf(`${path}.effect`, taint.effect, ['NoSchedule', 'PreferNoSchedule', 'NoExecute']);
    const id = `${taint.key}:${taint.effect}`;
    if (seen.has(id)) errors.duplicate(path, taint);
    seen.add(id);
  }
}
