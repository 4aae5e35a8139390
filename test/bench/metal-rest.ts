/** What Berth costs while nothing happens. */
import { readFile } from 'node:fs/promises';
import { USERS } from '../harness/metal-berth.ts';
import { Recorder } from '../harness/metal-record.ts';
import { cpuMsOf, memoryOf } from './process-facts.ts';
import { type MetalBench, pause, total } from './metal-watch.ts';
import { rounded } from './report.ts';

/** What has just happened is over. */
const SETTLE_MS = 10_000;
const MIB = 2 ** 20 / 1e6;

/** Metadata of the requests of Berth's processes and nothing else. */
export const auditPolicy: object = {
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  omitStages: ['RequestReceived'],
  rules: [{ level: 'Metadata', users: Object.values(USERS) }, { level: 'None' }],
};

/** CPU, API requests, frames and memory with every address announced. */
export async function atRest(bench: MetalBench, auditLog: string): Promise<void> {
  const { lab, berth, sizes } = bench;
  await pause(bench, Math.min(SETTLE_MS, sizes.restMs));
  const recorder = await Recorder.start(lab);
  const processes = berth.processes();
  const cpu = (): Promise<readonly number[]> => Promise.all(processes.map(({ pid }) => cpuMsOf(pid)));
  const [before, requestsBefore] = [await cpu(), await requests(auditLog)];
  const begun = performance.now();
  await pause(bench, sizes.restMs);
  const [after, requestsAfter] = [await cpu(), await requests(auditLog)];
  const ms = performance.now() - begun;
  const frames = await recorder.stop();
  const shares = processes.map(({ name }, index) => ({
    name,
    percent: (100 * ((after[index] ?? 0) - (before[index] ?? 0))) / ms,
  }));
  recordCpu(bench, shares);
  recordRequests(bench, requestsAfter.slice(requestsBefore.length), ms);
  bench.record({
    id: 'metal.rest.broadcasts',
    what: 'at rest: gratuitous frames',
    value: (1_000 * frames.filter(({ kind }) => kind === 'gratuitous').length) / ms,
    unit: '1/s',
    note: 'slow refresh of the neighbours',
  });
  await recordMemory(bench);
}

function recordCpu({ record }: MetalBench, shares: readonly { name: string; percent: number }[]): void {
  record({
    id: 'metal.rest.cpu',
    what: 'at rest: CPU of controller and three speakers together',
    value: total(shares.map(({ percent }) => percent)),
    unit: '%',
    target: { atMost: 2 },
    note: `of one core; ${shares.map(({ name, percent }) => `${name} ${rounded(percent)}`).join(', ')}`,
  });
}

function recordRequests({ record }: MetalBench, made: readonly string[], ms: number): void {
  const others = made.filter((request) => !request.endsWith(' leases'));
  const counts = Map.groupBy(made, (request) => request);
  record({
    id: 'metal.rest.requests',
    what: 'at rest: API requests but the renewal of the Lease',
    value: others.length,
    unit: 'requests',
    target: { exactly: 0 },
    note: `in ${Math.round(ms / 1000)} s; ${[...counts].map(([name, { length }]) => `${length} ${name}`).join(', ')}`,
  });
}

async function recordMemory({ berth, lab, record }: MetalBench): Promise<void> {
  const rss = async (pid: number): Promise<number> => (await memoryOf(pid)).rss / MIB;
  const controller = await rss(berth.controller.pid);
  const speakers = await Promise.all(lab.net.nodes.map(({ name }) => rss(berth.speaker(name).pid)));
  const speaker = Math.max(...speakers);
  record({
    id: 'metal.rest.rss',
    what: 'at rest: RSS of the controller and a speaker',
    value: controller + speaker,
    unit: 'MiB',
    note: `${Math.round(controller)} and ${Math.round(speaker)} (the largest of three); MetalLB 63 + 71`,
  });
}

/** `patch leases` and so on, of all of Berth's processes; a watch counts when it begins. */
async function requests(auditLog: string): Promise<readonly string[]> {
  const text = await readFile(auditLog, 'utf8').catch(() => '');
  return text
    .split('\n')
    .slice(0, -1)
    .flatMap((line) => {
      const { stage, verb, objectRef } = JSON.parse(line) as {
        stage: string;
        verb: string;
        objectRef?: { resource?: string; subresource?: string };
      };
      if (stage !== (verb === 'watch' ? 'ResponseStarted' : 'ResponseComplete')) return [];
      const { resource = 'other', subresource } = objectRef ?? {};
      return [`${verb} ${resource}${subresource === undefined ? '' : `/${subresource}`}`];
    });
}
