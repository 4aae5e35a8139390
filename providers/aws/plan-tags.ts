import type { Step } from '@berth/core';
import { PIECE } from './names.ts';
import type { Comparison } from './plan.ts';
import type { Tags } from './state.ts';
import { STAGE, step } from './steps.ts';

interface Tagged {
  readonly key: string;
  readonly id: string;
  readonly have: Tags | undefined;
}

/**
 * Tags of everything that is there already: what is wanted and missing or different is set; what nobody wants is
 * removed, except keys that others look after and AWS's own.
 */
export function planTags({ desired, wanted, have, context }: Comparison): readonly Step[] {
  if (have === undefined) return [];
  const ignored = context.config.externalManagedTags;
  const pieces: readonly Tagged[] = [
    ...(have.balancer === undefined
      ? []
      : [{ key: PIECE.balancer, id: have.balancer.arn, have: have.balancer.tags }]),
    ...(have.group === undefined || wanted.group === undefined
      ? []
      : [{ key: PIECE.frontend, id: have.group.id, have: have.group.tags }]),
    ...Object.entries(have.targetGroups)
      .filter(([key]) => wanted.targetGroups[key] !== undefined)
      .map(([key, { arn, tags }]) => ({ key: PIECE.targetGroup(key), id: arn, have: tags })),
    ...Object.entries(have.listeners)
      .filter(([key]) => wanted.listeners[key] !== undefined)
      .map(([key, { arn, tags }]) => ({ key: PIECE.listener(key), id: arn, have: tags })),
  ];
  return pieces.flatMap((piece) => tagSteps(desired.key, piece, { wanted: wanted.tags(piece.key), ignored }));
}

function tagSteps(
  scope: string,
  { key, id, have }: Tagged,
  { wanted, ignored }: { readonly wanted: Tags; readonly ignored: readonly string[] },
): readonly Step[] {
  if (have === undefined) return [];
  const set = Object.fromEntries(Object.entries(wanted).filter(([name, value]) => have[name] !== value));
  const remove = Object.keys(have)
    .filter((name) => wanted[name] === undefined && !ignored.includes(name) && !name.startsWith('aws:'))
    .toSorted();
  if (Object.keys(set).length === 0 && remove.length === 0) return [];
  const names = [...Object.keys(set).map((name) => `+${name}`), ...remove.map((name) => `-${name}`)].join(
    ' ',
  );
  return [
    step({
      scope,
      resource: 'tags',
      key,
      stage: STAGE.listeners,
      verb: 'update',
      before: have,
      after: { id, set, remove },
      because: `tags of ${key} differ: ${names}`,
    }),
  ];
}
