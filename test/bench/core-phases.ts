import { quiet, serviceNames, since, sum, type Tally, tallyText, WRITES } from './core-cluster.ts';
import { until } from './berth-process.ts';
import { CoreBerth } from './core-process.ts';
import { cpuClock, type Phases } from './core-waiting.ts';
import { quantile, rounded } from './report.ts';

/** From the start of the process until a Service that was waiting has its ingress. */
export async function firstServed({ cluster, observer, sizes, signal, record }: Phases): Promise<void> {
  console.log(`first Service after a start, ${sizes.starts} times ...`);
  const times: number[] = [];
  for (let start = 0; start < sizes.starts; start++) {
    const name = `first-${start}`;
    await cluster.createServices([name]);
    const berth = await CoreBerth.start(cluster, sizes);
    try {
      await until(`${name} has its ingress`, () => observer.served.has(name), { berth, signal });
      times.push((observer.served.get(name) ?? Number.NaN) - berth.startedAt);
      await cluster.deleteServices([name]);
      await until(`${name} is gone`, () => observer.deleted.has(name), { berth, signal });
    } finally {
      await berth.stop();
    }
  }
  record({
    id: 'core.first-served',
    what: 'process start to first Service served',
    value: quantile(times, 0.5),
    unit: 'ms',
    target: { atMost: 1_500 },
    note: `median of ${times.map((time) => rounded(time)).join(', ')}`,
  });
}

/** All Services are created at once: how long until each has its ingress, and what that costs. */
export async function creation(bench: Phases, berth: CoreBerth): Promise<void> {
  const { cluster, observer, sizes, signal, record } = bench;
  console.log(`creating ${sizes.services} Services ...`);
  const names = serviceNames(sizes.services);
  const before = await cluster.tally();
  const own = await ownRequests(berth);
  const cpu = await cpuClock(cluster, berth);
  const begun = performance.now();
  await cluster.createServices(names);
  const created = performance.now() - begun;
  const served = (): boolean => names.every((name) => observer.served.has(name));
  await until('all Services have their ingress', served, { berth, signal });
  const spent = await cpu();
  const times = names.map((name) => (observer.served.get(name) ?? Number.NaN) - begun);
  record({
    id: 'core.create.served',
    what: `first create to all ${sizes.services} Services served`,
    value: Math.max(...times),
    unit: 'ms',
    target: { atMost: 20_000 },
    note: `the creates alone took ${rounded(created)} ms; CPU: ${spent}`,
  });
  const waits = names.map(
    (name) => (observer.served.get(name) ?? Number.NaN) - (observer.seen.get(name) ?? Number.NaN),
  );
  record({
    id: 'core.create.wait',
    what: 'creation: one Service waits for its ingress (median)',
    value: quantile(waits, 0.5),
    unit: 'ms',
    note: `99 of 100 wait no longer than ${rounded(quantile(waits, 0.99))} ms`,
  });
  await creationRequests(bench, { berth, begun: own, asked: since(before, await quiet(cluster, signal)) });
}

async function creationRequests(
  { sizes: { services }, record }: Phases,
  { berth, begun, asked }: { readonly berth: CoreBerth; readonly begun: OwnCount; readonly asked: Tally },
): Promise<void> {
  const each = (pattern: RegExp): number => sum(asked, pattern) / services;
  const one = { unit: 'per Service', target: { exactly: 1 } } as const;
  record({
    id: 'core.create.finalizer',
    what: 'creation: patches of the Service (finalizer)',
    value: each(/^patch services$/),
    ...one,
  });
  record({
    id: 'core.create.status',
    what: 'creation: patches of its status',
    value: each(/^patch services\/status$/),
    ...one,
  });
  record({
    id: 'core.create.events',
    what: 'creation: Events',
    value: each(/ events$/),
    unit: 'per Service',
    target: { atMost: 2 },
  });
  const others = [...asked].filter(([name]) => !/^patch services(\/status)?$| (events|leases)$/.test(name));
  record({
    id: 'core.create.others',
    what: 'creation: all other requests, and refused ones',
    value: total(others.map(([, count]) => count)),
    unit: 'requests',
    target: { exactly: 0 },
    note: tallyText(new Map(others)),
  });
  await ownCount(record, { berth, begun, asked });
}

/** Holds Berth's own count of its writes against the API server's. Both have the Lease renewals in them. */
async function ownCount(
  record: Phases['record'],
  { berth, begun, asked }: { readonly berth: CoreBerth; readonly begun: OwnCount; readonly asked: Tally },
): Promise<void> {
  const own = since(begun, await ownRequests(berth));
  const audited = [...asked].filter(([name]) => WRITES.test(name)).map(([, count]) => count);
  record({
    id: 'core.create.own-count',
    what: "creation: writes by Berth's own metric but not by the audit log",
    value: total(own.values()) - total(audited),
    unit: 'requests',
    target: { exactly: 0 },
    note: `rest_client_requests_total: ${tallyText(own)}, Lease renewals included`,
  });
}

/** Berth's own count of its writes, by method and code. */
async function ownRequests(berth: CoreBerth): Promise<OwnCount> {
  const metric = await berth.metric('rest_client_requests_total');
  const named = [...metric].map(([labels, count]) => [methodOf(labels), count] as const);
  return new Map(named.filter(([name]) => !name.startsWith('GET')));
}

type OwnCount = ReadonlyMap<string, number>;

function total(counts: Iterable<number>): number {
  return [...counts].reduce((sum, count) => sum + count, 0);
}

function methodOf(labels: string): string {
  const value = (name: string): string => new RegExp(`${name}="([^"]*)"`).exec(labels)?.[1] ?? '';
  return `${value('method')} ${value('code')}`;
}

/** All Services go. */
export async function deletion(
  { cluster, observer, sizes, signal, record }: Phases,
  berth: CoreBerth,
): Promise<void> {
  const { services } = sizes;
  console.log(`deleting ${services} Services ...`);
  const names = serviceNames(services);
  const before = await cluster.tally();
  const cpu = await cpuClock(cluster, berth);
  const begun = performance.now();
  await cluster.deleteServices(names);
  const requested = performance.now() - begun;
  await until('all Services are gone', () => names.every((name) => observer.deleted.has(name)), {
    berth,
    signal,
  });
  const spent = await cpu();
  const asked = since(before, await quiet(cluster, signal));
  record({
    id: 'core.delete.gone',
    what: `first delete to all ${services} gone`,
    value: Math.max(...names.map((name) => observer.deleted.get(name) ?? Number.NaN)) - begun,
    unit: 'ms',
    note: `the deletes alone took ${rounded(requested)} ms; CPU: ${spent}`,
  });
  record({
    id: 'core.delete.requests',
    what: 'deletion: API requests',
    value: sum(asked) / services,
    unit: 'per Service',
    note: tallyText(asked),
  });
}
