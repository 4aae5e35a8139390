/**
 * Two replicas, processes of their own with an election by Lease: only one acts. The leader is stopped, killed, frozen
 * and cut off while it is at work; the other takes over, and no step takes effect twice.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startSandbox, type Sandbox } from '../../src/sandbox/index.ts';
import { Arena } from '../fixtures/arena.ts';
import { eventually } from '../fixtures/kube-objects.ts';
import type { ControllerProcess } from '../fixtures/run-controller.ts';
import { type ControlPlane, describeWithControlPlane, startControlPlane } from '../harness/controlplane.ts';

const LEASE_MS = 6_000;
const settings = { leaseDurationMs: LEASE_MS, renewDeadlineMs: 4_000, retryPeriodMs: 400 };
/** Longer than that a takeover after a kill must not take: the Lease's time, and the successor's start of work. */
const EXPIRY_MS = LEASE_MS + 6_000;
/** Sooner than the Lease can have run out: a takeover within this time was a handing over. */
const HANDOVER_MS = LEASE_MS - 3 * settings.retryPeriodMs;

/** Two replicas of which the first one leads, and the way to make the leader work. */
class Replicas {
  readonly arena: Arena;
  leader: ControllerProcess;
  standby: ControllerProcess;

  private constructor(arena: Arena, leader: ControllerProcess, standby: ControllerProcess) {
    this.arena = arena;
    this.leader = leader;
    this.standby = standby;
  }

  static async start(arena: Arena): Promise<Replicas> {
    await arena.open();
    const start = (identity: string): ControllerProcess =>
      arena.start({ election: { namespace: 'kube-system', identity, ...settings } });
    const leader = start('first');
    await leader.acting;
    const replicas = new Replicas(arena, leader, start('second'));
    // The standby has seen the Lease by then: it watches it from now on.
    await sleep(700);
    return replicas;
  }

  /** Creates Services and waits until the leader is in the middle of it: each step takes a while. */
  async busy(names: readonly string[]): Promise<void> {
    this.arena.cloud.latencyMs = 120;
    for (const name of names) await this.arena.person.createService(name);
    await eventually(() => assert.ok(this.arena.cloud.loadBalancers.size > 0));
  }

  /** Waits until the standby acts. */
  async takeover(): Promise<void> {
    await this.standby.acting;
  }

  /** Whether the standby acts by now. */
  async standbyActs(): Promise<boolean> {
    return await Promise.race([this.standby.acting.then(() => true), sleep(50).then(() => false)]);
  }
}

const NAMES = ['one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten'];

describe('two replicas on the sandbox', () => {
  let sandbox: Sandbox;
  let replicas: Replicas;
  beforeEach(async () => {
    sandbox = await startSandbox();
    replicas = await Replicas.start(new Arena({ url: sandbox.url }));
  });
  afterEach(async () => {
    await replicas?.arena.close();
    await sandbox?.stop();
  });

  it('only one acts, and the other asks the API server for nothing but the Lease', async () => {
    const { arena } = replicas;
    const before = sandbox.requests.log.length;
    await replicas.busy(NAMES);
    await arena.served(NAMES);
    expect(await replicas.standbyActs()).toBe(false);
    const requests = sandbox.requests.log.slice(before).filter(({ userAgent }) => userAgent === 'berth/test');
    const patches = requests.filter(({ verb, resource }) => verb === 'patch' && resource === 'services');
    expect(patches).toHaveLength(2 * NAMES.length);
    // Both watch their own; a second controller would list Services.
    expect(requests.filter(({ verb, resource }) => verb === 'list' && resource === 'services')).toEqual([]);
    expect(arena.cloud.counts.get('createLoadBalancer')).toBe(NAMES.length);
  });

  it('the leader is stopped: it finishes what is under way, and the other takes over long before the Lease runs out', async () => {
    const { arena, leader } = replicas;
    await replicas.busy(NAMES);
    const stopped = performance.now();
    leader.signal('SIGTERM');
    await replicas.takeover();
    expect(performance.now() - stopped).toBeLessThan(HANDOVER_MS);
    expect(await leader.ended).toBe('stopped');
    await arena.served(NAMES);
    expect(arena.cloud.counts.get('createLoadBalancer')).toBe(NAMES.length);
    expect(arena.cloud.counts.get('createListener')).toBe(NAMES.length);
  });

  it('the leader is killed: the other takes over once the Lease has run out, and not before', async () => {
    const { arena, leader } = replicas;
    await replicas.busy(NAMES);
    const killed = performance.now();
    leader.signal('SIGKILL');
    expect(await leader.ended).toBe('SIGKILL');
    await replicas.takeover();
    const tookMs = performance.now() - killed;
    // The last renewal may have been begun a period earlier.
    expect(tookMs).toBeGreaterThan(LEASE_MS - 2 * settings.retryPeriodMs);
    expect(tookMs).toBeLessThan(EXPIRY_MS);
    await arena.served(NAMES);
    expect(arena.cloud.counts.get('createLoadBalancer')).toBe(NAMES.length);
  });

  it('the leader is frozen and wakes up when the other leads: it does nothing more and ends', async () => {
    const { arena, leader } = replicas;
    await replicas.busy(NAMES);
    await arena.served(NAMES);
    leader.signal('SIGSTOP');
    // What it will have heard of when it wakes up: it is in its sockets.
    await arena.person.createService('while-frozen');
    await arena.person.deleteService('one');
    await replicas.takeover();
    const expected = [...NAMES.slice(1), 'while-frozen'];
    await arena.served(expected);
    const calls = arena.cloud.calls.length;
    const patches = sandbox.requests.count({ verb: 'patch', resource: 'services' });
    leader.signal('SIGCONT');
    expect(await leader.ended).toBe('lost');
    expect(arena.cloud.calls.length).toBe(calls);
    expect(sandbox.requests.count({ verb: 'patch', resource: 'services' })).toBe(patches);
    await arena.served(expected);
  });

  it('the leader is frozen in the middle of its work: it makes no further call, and nothing changes', async () => {
    const { arena, leader } = replicas;
    await replicas.busy(NAMES);
    leader.signal('SIGSTOP');
    await replicas.takeover();
    await arena.served(NAMES);
    const before = structuredClone([...arena.cloud.loadBalancers]);
    const calls = arena.cloud.calls.length;
    leader.signal('SIGCONT');
    expect(await leader.ended).toBe('lost');
    // A request that had been handed to a socket may still arrive; a step that makes several calls makes no other one.
    const late = arena.cloud.calls.slice(calls).map(({ operation, key }) => `${operation} ${key}`);
    expect(new Set(late).size).toBe(late.length);
    expect(arena.cloud.violations).toEqual([]);
    expect([...arena.cloud.loadBalancers]).toEqual(before);
    await arena.served(NAMES);
  });

  it('the leader cannot renew its Lease: it stops before the other begins', async () => {
    const { arena, leader } = replicas;
    await replicas.busy(NAMES.slice(0, 3));
    await arena.served(NAMES.slice(0, 3));
    arena.cloud.latencyMs = 0;
    // Only the leader patches the Lease; the standby begins to when the leader has given up.
    const fault = sandbox.faults.add({ verb: 'patch', resource: 'leases', cut: 'before', times: Infinity });
    expect(await leader.ended).toBe('lost');
    fault.remove();
    await replicas.takeover();
    await arena.person.createService('after');
    await arena.served([...NAMES.slice(0, 3), 'after']);
  });

  it('the leader takes long for a step when it is stopped: it begins no other one once the Lease is released', async () => {
    const { arena, leader } = replicas;
    arena.cloud.latencyMs = 8_000;
    await arena.person.createService('slow');
    await eventually(() => expect(arena.cloud.counts.get('describe')).toBeGreaterThan(1));
    leader.signal('SIGTERM');
    expect(await leader.ended).toBe('stopped');
    const calls = (): string[] => arena.cloud.calls.map(({ operation }) => operation);
    const before = calls();
    arena.cloud.latencyMs = 0;
    await replicas.takeover();
    await arena.served(['slow']);
    expect(before.filter((operation) => operation !== 'describe')).toEqual([]);
    expect(calls().filter((operation) => operation === 'createLoadBalancer')).toHaveLength(1);
  }, 30_000);

  it('deletions go on where the leader was killed', async () => {
    const { arena, leader } = replicas;
    await replicas.busy(NAMES);
    await arena.served(NAMES);
    await Promise.all(NAMES.slice(2).map((name) => arena.person.deleteService(name)));
    await eventually(() => expect(arena.cloud.counts.get('deleteLoadBalancer')).toBeGreaterThan(0));
    leader.signal('SIGKILL');
    await replicas.takeover();
    await arena.served(NAMES.slice(0, 2));
  });
});

await describeWithControlPlane('two replicas on a real API server', () => {
  let plane: ControlPlane;
  let replicas: Replicas;
  beforeEach(async () => {
    plane = await startControlPlane();
    const ca = readFileSync(plane.caFile, 'utf8');
    replicas = await Replicas.start(new Arena({ url: plane.url, token: plane.token(), ca }));
  });
  afterEach(async () => {
    await replicas?.arena.close();
    await plane?.stop();
  });

  it('the leader is stopped, then its successor is killed: a third one serves everything', async () => {
    const { arena, leader, standby } = replicas;
    await replicas.busy(NAMES);
    const stopped = performance.now();
    leader.signal('SIGTERM');
    await replicas.takeover();
    expect(performance.now() - stopped).toBeLessThan(HANDOVER_MS);
    const third = arena.start({ election: { namespace: 'kube-system', identity: 'third', ...settings } });
    await arena.person.createService('more');
    standby.signal('SIGKILL');
    await third.acting;
    await arena.served([...NAMES, 'more']);
    expect(arena.cloud.counts.get('createLoadBalancer')).toBe(NAMES.length + 1);
  });
});
