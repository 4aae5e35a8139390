import { CONDITION } from '../model/names.ts';
import type { Condition, Ingress, PortStatus, Service } from '../model/service.ts';

/** Our condition before it is written; its transition time follows from what was there. */
export type WantedCondition = Pick<Condition, 'status' | 'reason' | 'message'>;

/** What a Service's status should say. What is not given stays as it is. */
export interface WantedStatus {
  /** The addresses; an empty list clears them. */
  readonly ingress?: readonly Ingress[];
  /** Our condition; `null` removes it. Conditions of others are kept. */
  readonly condition?: WantedCondition | null;
  /** Annotations that travel in the same patch; `null` removes one. */
  readonly annotations?: Readonly<Record<string, string | null>>;
}

/** A merge patch (RFC 7396) for the `status` subresource of a Service. */
export interface StatusPatch {
  readonly metadata: {
    readonly resourceVersion: string;
    readonly annotations?: Readonly<Record<string, string | null>>;
  };
  readonly status?: {
    readonly loadBalancer?: { readonly ingress: readonly Ingress[] | null };
    readonly conditions?: readonly Condition[] | null;
  };
}

/** The longest `message` that the API server takes in a condition (meta/v1 Condition). */
const MAX_MESSAGE = 32_768;

/**
 * The patch that makes the Service's status as wanted, or `undefined` if it is so already. It holds only what differs,
 * and the resourceVersion as precondition. A merge patch replaces lists as a whole, therefore the conditions of
 * others are repeated in it; the precondition makes that safe.
 */
export function statusPatch(service: Service, wanted: WantedStatus, nowMs: number): StatusPatch | undefined {
  const annotations = changedAnnotations(service, wanted.annotations ?? {});
  const status = {
    ...ingressPatch(service, wanted.ingress),
    ...conditionsPatch(service, wanted.condition, nowMs),
  };
  const statusChanges = Object.keys(status).length > 0;
  if (!statusChanges && annotations === undefined) return undefined;
  return {
    metadata: {
      resourceVersion: service.resourceVersion,
      ...(annotations === undefined ? {} : { annotations }),
    },
    ...(statusChanges ? { status } : {}),
  };
}

/** Whether two lists of ingress entries say the same: address, host name, mode (absent is not `VIP`) and ports. */
export function sameIngress(a: readonly Ingress[], b: readonly Ingress[]): boolean {
  return a.length === b.length && a.every((entry, index) => sameEntry(entry, b[index]));
}

function sameEntry(a: Ingress, b: Ingress | undefined): boolean {
  if (b === undefined || a.ip !== b.ip || a.hostname !== b.hostname || a.ipMode !== b.ipMode) return false;
  const [left, right] = [a.ports ?? [], b.ports ?? []];
  return left.length === right.length && left.every((port, index) => samePort(port, right[index]));
}

function samePort(a: PortStatus, b: PortStatus | undefined): boolean {
  return a.port === b?.port && a.protocol === b.protocol && a.error === b.error;
}

function ingressPatch(service: Service, wanted: readonly Ingress[] | undefined): object {
  if (wanted === undefined || sameIngress(service.ingress, wanted)) return {};
  return { loadBalancer: { ingress: wanted.length === 0 ? null : wanted } };
}

function conditionsPatch(
  service: Service,
  wanted: WantedCondition | null | undefined,
  nowMs: number,
): { readonly conditions?: readonly Condition[] | null } {
  if (wanted === undefined) return {};
  const present = service.conditions.find((condition) => condition.type === CONDITION);
  if (wanted === null) {
    if (present === undefined) return {};
    const others = service.conditions.filter((condition) => condition !== present);
    return { conditions: others.length === 0 ? null : others };
  }
  const message = wanted.message.slice(0, MAX_MESSAGE);
  const { status, reason } = wanted;
  if (present?.status === status && present.reason === reason && present.message === message) return {};
  // The time is that of the last change of `status` alone (meta/v1 Condition).
  const lastTransitionTime =
    present?.status === status && present.lastTransitionTime !== ''
      ? present.lastTransitionTime
      : rfc3339(nowMs);
  const ours: Condition = { type: CONDITION, status, reason, message, lastTransitionTime };
  return {
    conditions:
      present === undefined
        ? [...service.conditions, ours]
        : service.conditions.map((condition) => (condition === present ? ours : condition)),
  };
}

function changedAnnotations(
  service: Service,
  wanted: Readonly<Record<string, string | null>>,
): Readonly<Record<string, string | null>> | undefined {
  const changed = Object.entries(wanted).filter(
    ([name, value]) => (service.annotations[name] ?? null) !== value,
  );
  return changed.length === 0 ? undefined : Object.fromEntries(changed);
}

/** meta/v1 Time: RFC 3339 with whole seconds. */
function rfc3339(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}
