import { compareText, type Step } from '@berth/core';
import { PIECE } from './names.ts';
import type { Comparison } from './plan.ts';
import type { ListenerState } from './state.ts';
import { changedAttributes, pick, STAGE, step } from './steps.ts';
import type { ListenerSpec } from './wanted.ts';

/** One listener for each port: made or changed in place; those of ports that are gone go afterwards. */
export function planListeners(comparison: Comparison): readonly Step[] {
  const { desired, wanted, have } = comparison;
  const replaced = have?.balancer === undefined ? {} : have.listeners;
  return [
    ...Object.entries(wanted.listeners).flatMap(([key, spec]) => wantedListener(comparison, key, spec)),
    ...Object.entries(replaced)
      .filter(([key]) => wanted.listeners[key] === undefined)
      .map(([key, { arn, protocol }]) =>
        step({
          scope: desired.key,
          resource: 'listener',
          key,
          stage: STAGE.replaced,
          before: { arn, protocol },
          because: `port ${key}/${protocol} has a listener but is not in the Service`,
        }),
      ),
  ];
}

function wantedListener(comparison: Comparison, key: string, spec: ListenerSpec): readonly Step[] {
  const { desired, wanted, have } = comparison;
  const present = have?.balancer === undefined ? undefined : have.listeners[key];
  const { attributes, ...rest } = spec;
  const where = { scope: desired.key, resource: 'listener', key, stage: STAGE.listeners };
  const tags = wanted.tags(PIECE.listener(key));
  if (present === undefined) {
    const because = `port ${key}/${spec.protocol} is in the Service but has no listener`;
    return [
      step({ ...where, after: { ...rest, tags }, because }),
      ...attributeSteps(comparison, key, { have: {}, attributes }),
    ];
  }
  const differing = differences(present, spec, have?.targetGroups[spec.targetGroup]?.arn);
  const update = step({
    ...where,
    verb: 'update',
    before: shown(present),
    after: rest,
    because: `${differing.join(', ')} of the listener ${key}/${spec.protocol} differ`,
  });
  return [
    ...(differing.length > 0 ? [update] : []),
    ...certificateSteps(comparison, { key, have: present.certificates, wanted: spec.certificates }),
    ...attributeSteps(comparison, key, { have: present.attributes, attributes }),
  ];
}

function differences(have: ListenerState, wanted: ListenerSpec, arn: string | undefined): readonly string[] {
  const tls = wanted.protocol === 'TLS';
  return [
    ...(have.protocol === wanted.protocol ? [] : ['protocol']),
    ...(arn !== undefined && have.targetGroups.length === 1 && have.targetGroups[0] === arn
      ? []
      : ['target group']),
    ...(!tls || have.certificates[0] === wanted.certificates[0] ? [] : ['default certificate']),
    ...(!tls || have.sslPolicy === wanted.sslPolicy ? [] : ['TLS policy']),
    ...(!tls || (have.alpn ?? 'None') === wanted.alpn ? [] : ['ALPN policy']),
  ];
}

/** Certificates beside the default one. */
function certificateSteps(
  { desired }: Comparison,
  {
    key,
    have,
    wanted,
  }: { readonly key: string; readonly have: readonly string[]; readonly wanted: readonly string[] },
): readonly Step[] {
  const [before, after] = [
    have.slice(1).toSorted(compareText),
    [...new Set(wanted.slice(1))].toSorted(compareText),
  ];
  const add = after.filter((arn) => !have.includes(arn));
  const remove = before.filter((arn) => !wanted.includes(arn));
  if (add.length === 0 && remove.length === 0) return [];
  return [
    step({
      scope: desired.key,
      resource: 'certificates',
      key,
      stage: STAGE.replaced,
      verb: 'update',
      before,
      after: { add, remove },
      because: `the further certificates of the listener ${key} differ`,
    }),
  ];
}

function attributeSteps(
  { desired }: Comparison,
  key: string,
  of: {
    readonly have: Readonly<Record<string, string>> | undefined;
    readonly attributes: Readonly<Record<string, string>>;
  },
): readonly Step[] {
  const changed = changedAttributes(of.have, of.attributes);
  if (of.have === undefined || Object.keys(changed).length === 0) return [];
  return [
    step({
      scope: desired.key,
      resource: 'listenerAttributes',
      key,
      stage: STAGE.replaced,
      verb: 'update',
      before: pick(of.have, changed),
      after: changed,
      because: `attributes of the listener ${key} differ: ${Object.keys(changed).join(', ')}`,
    }),
  ];
}

function shown({ arn, protocol, targetGroups, certificates, sslPolicy = '', alpn = 'None' }: ListenerState) {
  return { arn, protocol, targetGroups, certificates, sslPolicy, alpn };
}
