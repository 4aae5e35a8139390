import { setTimeout as pause } from 'node:timers/promises';
import type { KubeObject, ServiceObject } from '../../sandbox/index.ts';
import { CONDITION, FINALIZER } from '../../model/names.ts';
import { REASONS } from '../../model/reasons.ts';
import { counted } from '../terminal.ts';
import type { Stage } from './stage.ts';
import type { Teller } from './teller.ts';
import { ask, askRepeatedly, isFree, isRefused, startLoad, type Answer } from './traffic.ts';

/** The port of the story's Services: above 1023, so that nobody needs privileges for it. */
export const STORY_PORT = 8080;

/** How long something may take to happen, in milliseconds. */
const PATIENCE_MS = 5_000;

/** One part of the story; each builds on those before it. */
export interface Chapter {
  readonly title: string;
  play(stage: Stage, teller: Teller): Promise<void>;
}

/** The story. Every `check` of it holds, or the demo fails. */
export const STORY: readonly Chapter[] = [
  {
    title: 'A Service of type LoadBalancer appears and gets an address',
    async play(stage, teller) {
      const begun = performance.now();
      createService(stage, 'web');
      const address = await until(stage, () => addressOf(stage, 'web'));
      const ms = Math.round(performance.now() - begun);
      teller.check(address !== undefined, `default/web has the address ${address} after ${ms} ms`);
      teller.check(finalizersOf(stage, 'web').includes(FINALIZER), `it carries the finalizer ${FINALIZER}`);
    },
  },
  {
    title: 'Requests to that address reach backends on every node',
    async play(stage, teller) {
      const url = urlOf(stage, 'web');
      const { signal } = stage;
      await stage.nodes.settled();
      const answers = await askRepeatedly(url, { count: 60, signal });
      teller.check(answers.length === 60, `60 requests to ${url}, 60 answers`);
      for (const line of perBackend(answers)) teller.note(line);
      const names = new Set(answers.map(({ node }) => node));
      const silent = stage.nodes.nodes.filter(({ name }) => !names.has(name));
      teller.check(silent.length === 0, `backends on all ${counted(names.size, 'node')} answered`);
    },
  },
  {
    title: 'A second Service asks for an address by loadBalancerIP',
    async play(stage, teller) {
      const wanted = stage.requestable;
      createService(stage, 'fixed', { loadBalancerIP: wanted });
      const address = await until(stage, () => addressOf(stage, 'fixed'));
      teller.check(address === wanted, `default/fixed asked for ${wanted} and has ${address ?? 'nothing'}`);
      const { backend } = await ask(urlOf(stage, 'fixed'), stage.signal);
      teller.check(true, `a request to it is answered by ${backend}`);
    },
  },
  {
    title: 'A third Service asks for an address that is taken',
    async play(stage, teller) {
      createService(stage, 'late', { loadBalancerIP: stage.requestable });
      const condition = await until(stage, () => conditionOf(stage, 'late'));
      const { reason, message = '' } = condition ?? {};
      const { remedy } = REASONS.AddressInUse;
      const [why = ''] = message.split(remedy);
      teller.check(reason === 'AddressInUse', `its condition says ${reason}: ${why.trim()}`);
      teller.check(message.endsWith(`${remedy}.`), `and what to do: ${remedy}.`);
      const event = await until(stage, () => eventOf(stage, 'late', 'AddressInUse'));
      teller.check(event === message, 'the event that `kubectl describe service late` shows says the same');
      const { reason: explained } = stage.controller.inspect.explain('default/late');
      teller.check(explained === 'AddressInUse', 'so does `berth explain default/late`');
      teller.check(addressOf(stage, 'fixed') === stage.requestable, 'default/fixed keeps its address');
    },
  },
  {
    title: 'A node is drained while requests run',
    play: drainNode,
  },
  {
    title: 'A Service is deleted and nothing is left',
    async play(stage, teller) {
      const address = addressOf(stage, 'web') ?? '';
      const key = 'default/web';
      stage.sandbox.objects.delete({ resource: 'services', name: 'web' });
      const gone = await until(stage, () => (serviceOf(stage, 'web') === undefined ? true : undefined));
      teller.check(gone === true, 'the finalizer was released and the Service is gone');
      const refused = await isRefused(address, STORY_PORT);
      teller.check(refused, `connections to ${address}:${STORY_PORT} are refused`);
      teller.check(await isFree(address, STORY_PORT), 'nothing listens there any more');
      const held = stage.controller.runtimes.some((runtime) => runtime.has(key));
      teller.check(!held, 'the provider holds nothing for it');
    },
  },
];

async function drainNode(stage: Stage, teller: Teller): Promise<void> {
  const url = urlOf(stage, 'web');
  const { signal, nodes } = stage;
  const node = nodes.nodes[1];
  if (node === undefined) return teller.check(false, 'there is a second node to drain');
  teller.note(`six clients send requests; ${node.name} is told to leave, then taken away`);
  const load = startLoad(url, { clients: 6, signal });
  await pause(500, undefined, { signal });
  const before = load.answered;
  // The controller has this long to take the node out of the load balancers; a real drain takes minutes.
  await node.drain({ delayMs: 1_000, graceMs: 5_000, signal });
  const during = load.answered - before;
  await nodes.remove(node);
  await pause(500, undefined, { signal });
  await load.stop();
  const { failures, answered } = load;
  teller.check(
    during > 0,
    `${node.name} was drained and removed; ${during} requests were answered meanwhile`,
  );
  const first = failures[0] === undefined ? '' : ` (${failures[0]})`;
  teller.check(
    failures.length === 0,
    `of ${answered + failures.length} requests ${failures.length} failed${first}`,
  );
  const after = await askRepeatedly(url, { count: 30, signal });
  const reached = new Set(after.map((answer) => answer.node));
  teller.check(
    !reached.has(node.name),
    `the next 30 are answered on ${[...reached].toSorted().join(' and ')}`,
  );
}

function createService(stage: Stage, name: string, spec: { readonly loadBalancerIP?: string } = {}): void {
  stage.sandbox.objects.create('services', {
    metadata: { name },
    spec: {
      type: 'LoadBalancer',
      selector: { app: 'demo' },
      ports: [{ port: STORY_PORT, targetPort: 8080, protocol: 'TCP' }],
      ...spec,
    },
  });
}

/** Looks again and again until there is something; `undefined` when it takes too long. */
async function until<T>(
  { signal }: Stage,
  look: () => T | undefined | Promise<T | undefined>,
): Promise<T | undefined> {
  for (const end = performance.now() + PATIENCE_MS; performance.now() < end;) {
    const found = await look();
    if (found !== undefined) return found;
    await pause(15, undefined, { signal });
  }
  return undefined;
}

function serviceOf(stage: Stage, name: string): ServiceObject | undefined {
  return stage.sandbox.objects.get({ resource: 'services', name }) as ServiceObject | undefined;
}

/** The address in a Service's status, if it has one. */
export function addressOf(stage: Stage, name: string): string | undefined {
  return serviceOf(stage, name)?.status.loadBalancer.ingress?.[0]?.ip;
}

function urlOf(stage: Stage, name: string): string {
  return `http://${addressOf(stage, name)}:${STORY_PORT}/`;
}

function finalizersOf(stage: Stage, name: string): readonly string[] {
  return serviceOf(stage, name)?.metadata.finalizers ?? [];
}

interface ConditionText {
  readonly type: string;
  readonly reason: string;
  readonly message: string;
}

function conditionOf(stage: Stage, name: string): ConditionText | undefined {
  const conditions = (serviceOf(stage, name)?.status.conditions ?? []) as readonly ConditionText[];
  return conditions.find(({ type }) => type === CONDITION);
}

function eventOf(stage: Stage, name: string, reason: string): string | undefined {
  type EventObject = KubeObject & { involvedObject?: { name?: string }; reason?: string; message?: string };
  const events = stage.sandbox.objects.list('events') as EventObject[];
  return events.find((event) => event.involvedObject?.name === name && event.reason === reason)?.message;
}

/** `node-1   node-1-demo-1: 10   node-1-demo-2: 10`, sorted. */
function perBackend(answers: readonly Answer[]): readonly string[] {
  const byNode = Map.groupBy(answers, ({ node }) => node);
  return [...byNode.keys()].toSorted().map((node) => {
    const counts = Map.groupBy(byNode.get(node) ?? [], ({ backend }) => backend);
    const texts = [...counts.keys()].toSorted().map((name) => `${name}: ${counts.get(name)?.length ?? 0}`);
    return `${node}   ${texts.join('   ')}`;
  });
}
