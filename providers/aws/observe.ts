import type { Recollection, ServiceKey } from '@berth/core';
import type { AwsCalls } from './cloud/aws-calls.ts';
import type { Batcher } from './cloud/batcher.ts';
import type { Context } from './desired.ts';
import { PIECE, TAGS } from './names.ts';
import { assemble, type Parts } from './observe/assemble.ts';
import { readBalancer, readTargetGroup, readTargets, type Deep } from './observe/deep.ts';
import { readNodeRules, readTags, type Fleet } from './observe/fleet.ts';
import { ownerOf, type Owners } from './observe/owners.ts';
import type { Recents } from './observe/recents.ts';
import { parseRemembered, recall, rememberedArns } from './remember.ts';
import type { AwsSettings } from './settings.ts';
import {
  isEmpty,
  type AwsEnvironment,
  type AwsLoadBalancer,
  type AwsObserved,
  type AwsShared,
  type ListenerState,
  type TargetGroupState,
} from './state.ts';
import type { Surroundings } from './surroundings.ts';

/** What the provider observes with. */
export interface Observer {
  readonly aws: AwsCalls;
  readonly context: Context;
  readonly fleet: Batcher<Fleet>;
  readonly owners: Owners;
  readonly recents: Recents;
  readonly surroundings: Surroundings;
}

/** Which load balancers, and what is remembered of them. */
export interface Question {
  readonly keys: readonly ServiceKey[] | undefined;
  readonly recollected: ReadonlyMap<ServiceKey, Recollection<AwsSettings>> | undefined;
}

/**
 * Reads what there is: the fleet in pages, then in depth what is asked for and not remembered. Calls for 50 Services
 * that are all remembered: one page each of load balancers, target groups and security groups, and the nodes' rules.
 *
 * Flow: pages; tags of what nobody knows yet (20 a call); by Service; what is remembered and shown as remembered is
 * taken as it was wanted, everything else is read one by one; what was made too lately to be shown is added.
 */
export async function observe(
  observer: Observer,
  question: Question,
  signal: AbortSignal,
): Promise<AwsObserved> {
  const { owners, recents, surroundings } = observer;
  // What was learnt of the surroundings may be why somebody looks again.
  surroundings.forget();
  const fleet = await observer.fleet.get('fleet', signal);
  if (fleet === undefined) throw new Error('the fleet was not read');
  const shared = await readShared(observer, fleet, signal);
  recollectOwners(observer, fleet, question);
  await learnOwners(observer, fleet, signal);
  if (question.keys === undefined)
    owners.keep(new Set([...fleet.balancers.keys(), ...fleet.targetGroups.keys()]));
  const parts = partsByKey(observer, fleet);
  const keys = new Set(question.keys ?? [...parts.keys(), ...recents.keys]);
  const deep = { aws: observer.aws, signal };
  const read = await Promise.all(
    [...keys].map(async (key): Promise<[ServiceKey, AwsLoadBalancer | undefined]> => {
      const found = await readKey(observer, { key, parts: parts.get(key), question, deep });
      return [key, recents.complete(key, found, shared)];
    }),
  );
  const environment: AwsEnvironment = surroundings.environment;
  const loadBalancers = new Map(
    read.flatMap(([key, found]) => (found === undefined || isEmpty(found) ? [] : [[key, found] as const])),
  );
  return { environment, shared: recents.completeShared(shared), loadBalancers };
}

async function readShared({ aws, context }: Observer, fleet: Fleet, signal: AbortSignal): Promise<AwsShared> {
  const { backendSecurityGroup: given } = context.config;
  const backend =
    given === undefined
      ? fleet.groups.find(({ tags }) => tags[TAGS.resource] === PIECE.backend)
      : { id: given, name: '', rules: [], tags: {} };
  if (backend === undefined) return { nodeRules: {} };
  return { backend, nodeRules: await readNodeRules(aws, { context, backend: backend.id }, signal) };
}

/** What a Service remembers as its own is its own: no tag has to be read for that. */
function recollectOwners(
  { owners, surroundings }: Observer,
  fleet: Fleet,
  { recollected = new Map() }: Question,
): void {
  for (const [key, { desired, remembered }] of recollected) {
    const parsed = parseRemembered(remembered);
    if (parsed === undefined) continue;
    surroundings.recall(parsed.nm);
    const { balancer, targetGroups } = rememberedArns(parsed);
    const own = (arn: string, piece: string): void => {
      if (!owners.knows(arn)) owners.set(arn, { key, uid: desired.uid, piece });
    };
    if (fleet.balancers.has(balancer)) own(balancer, PIECE.balancer);
    for (const [name, arn] of Object.entries(targetGroups)) {
      if (fleet.targetGroups.has(arn)) own(arn, PIECE.targetGroup(name));
    }
  }
}

/** Reads the tags of what nobody knows yet. */
async function learnOwners(
  { aws, owners, context }: Observer,
  fleet: Fleet,
  signal: AbortSignal,
): Promise<void> {
  const unknown = [...fleet.balancers.keys(), ...fleet.targetGroups.keys()].filter(
    (arn) => !owners.knows(arn),
  );
  if (unknown.length === 0) return;
  const tags = await readTags(aws, unknown, signal);
  for (const arn of unknown) owners.set(arn, ownerOf(tags.get(arn) ?? {}, context.cluster));
}

function partsByKey({ owners, context }: Observer, fleet: Fleet): Map<ServiceKey, Parts> {
  const parts = new Map<ServiceKey, Parts>();
  const of = (key: ServiceKey): Parts => {
    const known = parts.get(key) ?? { balancers: [], targetGroups: [], groups: [] };
    parts.set(key, known);
    return known;
  };
  for (const [arn, balancer] of fleet.balancers) {
    const owner = owners.get(arn);
    if (owner !== undefined) of(owner.key).balancers.push({ owner, found: balancer });
  }
  for (const [arn, group] of fleet.targetGroups) {
    const owner = owners.get(arn);
    if (owner !== undefined) of(owner.key).targetGroups.push({ owner, found: group });
  }
  for (const group of fleet.groups) {
    const owner = ownerOf(group.tags, context.cluster);
    if (owner?.piece === PIECE.frontend) of(owner.key).groups.push({ owner, found: group });
  }
  return parts;
}

interface KeyQuestion {
  readonly key: ServiceKey;
  readonly parts: Parts | undefined;
  readonly question: Question;
  readonly deep: Deep;
}

async function readKey(observer: Observer, asked: KeyQuestion): Promise<AwsLoadBalancer | undefined> {
  const { parts, key, question } = asked;
  if (parts === undefined) return undefined;
  const recollection = question.keys === undefined ? question.recollected?.get(key) : undefined;
  const recalled = recollection && recallKey(observer, parts, recollection);
  if (recollection === undefined || recalled === undefined) return await readDeep(observer, asked, parts);
  return recollection.sameTargets ? recalled : await withTargets(asked.deep, recalled);
}

/** What is remembered, where the pages show exactly that and nothing more. */
function recallKey(
  { context }: Observer,
  parts: Parts,
  { desired, remembered, sameTargets }: Recollection<AwsSettings>,
): AwsLoadBalancer | undefined {
  const parsed = parseRemembered(remembered);
  if (parsed === undefined) return undefined;
  const arns = rememberedArns(parsed);
  const [balancer] = parts.balancers;
  const expected = Object.entries(arns.targetGroups);
  const found = new Map(parts.targetGroups.map(({ found }) => [found.arn, found]));
  const complete =
    parts.balancers.length === 1 &&
    balancer?.found.arn === arns.balancer &&
    balancer.owner.uid === desired.uid &&
    parts.groups.length <= 1 &&
    found.size === expected.length &&
    expected.every(([, arn]) => found.has(arn));
  if (!complete || balancer === undefined) return undefined;
  const targetGroups = Object.fromEntries(
    expected.flatMap(([key, arn]) => {
      const group = found.get(arn);
      return group === undefined ? [] : [[key, group] as const];
    }),
  );
  const shown = { balancer: balancer.found, group: parts.groups[0]?.found, targetGroups };
  return recall(desired, parsed, { shown, context, sameTargets });
}

/** Nodes came or went while nobody looked: the targets are read, and nothing else. */
async function withTargets(deep: Deep, recalled: AwsLoadBalancer): Promise<AwsLoadBalancer> {
  const entries = await Promise.all(
    Object.entries(recalled.targetGroups).map(async ([key, group]): Promise<[string, TargetGroupState]> => [
      key,
      { ...group, ...(await readTargets(deep, group.arn)) },
    ]),
  );
  return { ...recalled, targetGroups: Object.fromEntries(entries) };
}

/** Everything of one Service, resource by resource, with the tags as they are now. */
async function readDeep(
  { aws, owners, context }: Observer,
  { deep }: KeyQuestion,
  parts: Parts,
): Promise<AwsLoadBalancer | undefined> {
  const [balancers, groups] = await Promise.all([
    Promise.all(parts.balancers.map(({ found }) => readBalancer(deep, found))),
    Promise.all(parts.targetGroups.map(({ found }) => readTargetGroup(deep, found))),
  ]);
  const listeners = balancers.flatMap((one): readonly ListenerState[] => one?.listeners ?? []);
  const arns = [
    ...balancers.flatMap((one) => one?.balancer.arn ?? []),
    ...groups.flatMap((one) => one?.arn ?? []),
    ...listeners.map(({ arn }) => arn),
  ];
  const tags = arns.length === 0 ? new Map() : await readTags(aws, arns, deep.signal);
  // Somebody may have taken our tag away: then it is not ours any more, whatever we remember.
  for (const arn of arns) {
    const ours = tags.get(arn)?.[TAGS.cluster] === context.cluster.id;
    if (!ours && owners.get(arn) !== undefined) owners.set(arn, undefined);
  }
  return assemble({
    parts,
    balancers: balancers.flatMap((one) => (one !== undefined && owners.get(one.balancer.arn) ? [one] : [])),
    targetGroups: groups.flatMap((one) => (one !== undefined && owners.get(one.arn) ? [one] : [])),
    tags,
  });
}
