import type { Step } from '@berth/core';
import { PIECE } from './names.ts';
import type { Comparison } from './plan.ts';
import type { HealthCheckSpec, TargetGroupState, TargetState } from './state.ts';
import { changedAttributes, pick, same, STAGE, step } from './steps.ts';
import type { TargetGroupSpec } from './wanted.ts';

/** One target group for each port, made before the listener that needs it. */
export function planTargetGroups(comparison: Comparison): readonly Step[] {
  return Object.entries(comparison.wanted.targetGroups).flatMap(([key, spec]) =>
    wantedGroup(comparison, key, spec),
  );
}

function wantedGroup(
  { desired, wanted, have, observed }: Comparison,
  key: string,
  spec: TargetGroupSpec,
): readonly Step[] {
  const { key: scope } = desired;
  const present = have?.targetGroups[key];
  const { attributes, targets: all, ...rest } = spec;
  // An instance that is known to be gone would be refused together with the others.
  const targets = all.filter(({ id }) => observed.environment.instances[id]?.usable !== false);
  const creation =
    present === undefined
      ? [
          step({
            scope,
            resource: 'targetGroup',
            key,
            stage: STAGE.ground,
            after: { ...rest, tags: wanted.tags(PIECE.targetGroup(key)) },
            because: `there is no target group for ${key}`,
          }),
        ]
      : [];
  return [
    ...creation,
    ...healthCheckSteps({ scope, key, stage: STAGE.ground }, present, spec.healthCheck),
    ...attributeSteps({ scope, key, stage: STAGE.balancer }, present, attributes),
    ...targetSteps(
      { scope, key, stage: STAGE.balancer },
      present === undefined ? [] : present.targets,
      targets,
    ),
  ];
}

type Where = { readonly scope: string; readonly key: string; readonly stage: number };

function healthCheckSteps(
  where: Where,
  present: TargetGroupState | undefined,
  wanted: HealthCheckSpec,
): readonly Step[] {
  if (present === undefined || sameCheck(present.healthCheck, wanted)) return [];
  const because = `the health check of ${where.key} is ${checkText(present.healthCheck)}, ${checkText(wanted)} is wanted`;
  return [step({ ...where, resource: 'healthCheck', before: present.healthCheck, after: wanted, because })];
}

function attributeSteps(
  where: Where,
  present: TargetGroupState | undefined,
  wanted: Readonly<Record<string, string>>,
): readonly Step[] {
  const have = present === undefined ? {} : present.attributes;
  const changed = changedAttributes(have, wanted);
  if (have === undefined || Object.keys(changed).length === 0) return [];
  const because = `attributes of ${where.key} differ: ${Object.keys(changed).join(', ')}`;
  return [
    step({
      ...where,
      resource: 'targetGroupAttributes',
      verb: 'update',
      before: pick(have, changed),
      after: changed,
      because,
    }),
  ];
}

/** All targets of a group change in one step. What is not known is left alone. */
function targetSteps(
  where: Where,
  have: readonly TargetState[] | undefined,
  wanted: readonly TargetState[],
): readonly Step[] {
  if (have === undefined) return [];
  const register = without(wanted, have);
  const deregister = without(have, wanted);
  if (register.length === 0 && deregister.length === 0) return [];
  const names = [...register.map(({ id }) => `+${id}`), ...deregister.map(({ id }) => `-${id}`)];
  const shown =
    names.length > 6 ? `${names.slice(0, 6).join(' ')} and ${names.length - 6} more` : names.join(' ');
  return [
    step({
      ...where,
      resource: 'targets',
      verb: 'update',
      after: { register, deregister },
      because: `targets of ${where.key} changed: ${shown}`,
    }),
  ];
}

function without(these: readonly TargetState[], those: readonly TargetState[]): readonly TargetState[] {
  const known = new Set(those.map(({ id, port }) => `${id} ${port}`));
  return these.filter(({ id, port }) => !known.has(`${id} ${port}`));
}

function sameCheck(a: HealthCheckSpec, b: HealthCheckSpec): boolean {
  const plain = ({ protocol, port, interval, timeout, healthy, unhealthy, path, codes }: HealthCheckSpec) =>
    [protocol, port, interval, timeout, healthy, unhealthy, path ?? '', codes ?? ''] as const;
  return same(plain(a), plain(b));
}

function checkText({ protocol, port, path = '', interval, timeout }: HealthCheckSpec): string {
  return `${protocol} ${port}${path} every ${interval} s within ${timeout} s`;
}
