/**
 * A controller in a process of its own is killed with SIGKILL right after every single effect of a create, an update
 * and a delete, on the cloud's side and on the API server's. The next start goes on from there to the same state as if
 * nothing had happened. On the sandbox every effect is a place to die; on a real API server those of the cloud are.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FINALIZER } from '../../src/model/names.ts';
import { MemoryCloud } from '../../src/provider/memory.ts';
import { startSandbox, type Change, type KubeObject, type Sandbox } from '../../src/sandbox/index.ts';
import { addressesOf, conditionOf, eventually, Person, type ApiObject } from '../fixtures/kube-objects.ts';
import { serveCloud, type CloudServer } from '../fixtures/remote-cloud.ts';
import { startProcess, type ControllerProcess, type Server } from '../fixtures/run-controller.ts';
import { type ControlPlane, describeWithControlPlane, startControlPlane } from '../harness/controlplane.ts';

const BEFORE: ApiObject = {
  ports: [
    { name: 'web', port: 80, nodePort: 30_080 },
    { name: 'dns', port: 53, protocol: 'UDP', nodePort: 30_053 },
  ],
};
const AFTER: ApiObject = {
  ports: [
    { name: 'web', port: 80, nodePort: 30_081 },
    { name: 'tls', port: 443, nodePort: 30_443 },
  ],
  loadBalancerSourceRanges: ['10.0.0.0/8'],
};

/** More places to die than any operation has: a defect must not make the test run for ever. */
const MANY = 30;

/** An API server, a cloud that outlives everything, and the controller of the moment. */
class Arena {
  readonly cloud = new MemoryCloud();
  readonly person: Person;
  readonly #server: Server;
  #cloudServer: CloudServer | undefined;
  #controller: ControllerProcess | undefined;
  /** Effects until the controller is killed; counted down by the cloud and, on the sandbox, by the API server. */
  #left = Infinity;

  constructor(server: Server) {
    this.#server = server;
    this.person = new Person(server);
    this.cloud.onEffect = () => this.effect();
  }

  async open(): Promise<void> {
    this.#cloudServer = await serveCloud(this.cloud);
    await this.person.createNode('node-1');
    await this.person.createNode('node-2', '192.0.2.12');
  }

  /** Something had its effect, and whoever caused it has not heard of it. */
  effect(): void {
    this.#left -= 1;
    if (this.#left === 0) this.#controller?.signal('SIGKILL');
  }

  /** Makes sure that a controller runs. */
  async run(): Promise<void> {
    if (this.#controller?.alive === true) return;
    this.#left = Infinity;
    this.#controller = startProcess({
      server: this.#server,
      provider: { cloud: this.#cloudServer?.url ?? '', pool: ['192.0.2.128/25'] },
    });
    await this.#controller.acting;
  }

  /**
   * Lets `act` happen while the controller runs, which dies at effect number `at`. Waits until it is dead, or until
   * `done` holds, and says whether it died.
   */
  async dieAt(at: number, act: () => Promise<void>, done: () => Promise<void>): Promise<boolean> {
    await this.run();
    this.#left = at;
    await act();
    const died = this.#controller?.ended.then((how) => assert.equal(how, 'SIGKILL'));
    const finished = eventually(done, 20_000).then(() => 'done');
    finished.catch(() => {});
    await Promise.race([finished, died]);
    // The last effect may be what completes the operation.
    const killed = this.#left <= 0;
    if (killed) await died;
    this.#left = Infinity;
    return killed;
  }

  async close(): Promise<void> {
    this.#controller?.signal('SIGKILL');
    await this.#controller?.ended;
    await this.#cloudServer?.close();
    this.person.close();
  }

  /** Fails unless the Service is served as its spec says, by one load balancer of its own. */
  async isServed(name: string, spec: ApiObject): Promise<void> {
    const service = await this.person.service(name);
    const balancer = this.cloud.loadBalancers.get(`default/${name}`);
    const ports = spec['ports'] as readonly { port: number; protocol?: string; nodePort: number }[];
    assert.equal(conditionOf(service), 'True Provisioned');
    assert.deepEqual(service?.finalizers, [FINALIZER]);
    assert.equal(balancer?.uid, service.uid);
    assert.deepEqual(
      Object.values(balancer.listeners).toSorted((a, b) => a.port - b.port),
      ports
        .map(({ port, protocol = 'TCP', nodePort }) => ({ protocol, port, nodePort }))
        .toSorted((a, b) => a.port - b.port),
    );
    assert.deepEqual(
      balancer.targets.map(({ node }) => node),
      ['node-1', 'node-2'],
    );
    assert.deepEqual(balancer.frontend.sourceRanges, spec['loadBalancerSourceRanges'] ?? []);
    assert.equal(addressesOf(service), balancer.frontend.addresses.join(' '));
    assert.deepEqual(
      service.ingress[0]?.ports?.map(({ port }) => port),
      ports.map(({ port }) => port).toSorted((a, b) => a - b),
    );
  }

  /** Fails unless nothing of the Service is left. */
  async isGone(name: string): Promise<void> {
    assert.equal(await this.person.service(name), undefined);
    assert.equal(this.cloud.loadBalancers.has(`default/${name}`), false);
  }

  /** Kills at every effect of an operation; returns how many there were. */
  async killEverywhere(operation: {
    readonly name: string;
    readonly prepare: (name: string) => Promise<void>;
    readonly act: (name: string) => Promise<void>;
    readonly check: (name: string) => Promise<void>;
  }): Promise<number> {
    for (let at = 1; at < MANY; at++) {
      const name = `${operation.name}-${at}`;
      await this.run();
      await operation.prepare(name);
      const addressBefore = addressesOf(await this.person.service(name));
      const died = await this.dieAt(
        at,
        () => operation.act(name),
        () => operation.check(name),
      );
      await this.run();
      await eventually(() => operation.check(name), 20_000).catch((error: unknown) => {
        throw new Error(`killed at effect ${at} of ${operation.name}`, { cause: error });
      });
      const addressAfter = addressesOf(await this.person.service(name));
      if (addressBefore !== '' && addressAfter !== '') assert.equal(addressAfter, addressBefore);
      assert.deepEqual(this.cloud.violations, []);
      if (!died) return at - 1;
    }
    throw new Error(`${operation.name} has no end`);
  }

  create(): Promise<number> {
    return this.killEverywhere({
      name: 'create',
      prepare: () => Promise.resolve(),
      act: async (name) => void (await this.person.createService(name, portsOf(name, BEFORE))),
      check: (name) => this.isServed(name, portsOf(name, BEFORE)),
    });
  }

  update(): Promise<number> {
    return this.killEverywhere({
      name: 'update',
      prepare: async (name) => {
        await this.person.createService(name, portsOf(name, BEFORE));
        await eventually(() => this.isServed(name, portsOf(name, BEFORE)));
      },
      act: async (name) => void (await this.person.patchService(name, { spec: portsOf(name, AFTER) })),
      check: (name) => this.isServed(name, portsOf(name, AFTER)),
    });
  }

  delete(): Promise<number> {
    return this.killEverywhere({
      name: 'delete',
      prepare: async (name) => {
        await this.person.createService(name, portsOf(name, BEFORE));
        await eventually(() => this.isServed(name, portsOf(name, BEFORE)));
      },
      act: (name) => this.person.deleteService(name),
      check: (name) => this.isGone(name),
    });
  }
}

let offset = 0;
const offsets = new Map<string, number>();

/** The spec with node ports of the Service's own: they are unique in a cluster. */
function portsOf(name: string, spec: ApiObject): ApiObject {
  const base = offsets.get(name) ?? offset++ * 2;
  offsets.set(name, base);
  const ports = (spec['ports'] as readonly { nodePort: number }[]).map((port) => ({
    ...port,
    nodePort: port.nodePort + base,
  }));
  return { ...spec, ports };
}

/** Whether a person made the change: the controller writes finalizers and status, and nothing else here. */
function isPersons({ entry, previous }: Change): boolean {
  const asked = ({ spec, metadata }: KubeObject): string =>
    JSON.stringify([spec, metadata['deletionTimestamp']]);
  return previous === undefined || asked(entry.object) !== asked(previous.object);
}

describe('killed at every effect, on the sandbox', () => {
  let sandbox: Sandbox;
  let arena: Arena;
  beforeAll(async () => {
    sandbox = await startSandbox();
    arena = new Arena({ url: sandbox.url });
    await arena.open();
    sandbox.objects.subscribe('services', (change) => {
      if (!isPersons(change)) arena.effect();
    });
  });
  afterAll(async () => {
    await arena?.close();
    await sandbox?.stop();
  });

  // Finalizer, load balancer, two listeners, targets, status.
  it('a create is completed by the next start', async () => {
    expect(await arena.create()).toBe(6);
  });

  // Load balancer (source ranges), three listeners (changed, new, gone), status (ports).
  it('an update is completed by the next start', async () => {
    expect(await arena.update()).toBe(5);
  });

  // Two listeners, targets, load balancer, finalizer.
  it('a delete is completed by the next start', async () => {
    expect(await arena.delete()).toBe(5);
  });

  it('leaves nothing when everything is deleted', async () => {
    await arena.run();
    for (const { name, type } of await arena.person.services())
      if (type === 'LoadBalancer') await arena.person.deleteService(name);
    await eventually(() => expect(arena.cloud.loadBalancers.size).toBe(0));
    expect(arena.cloud.violations).toEqual([]);
  });
});

await describeWithControlPlane('killed at every effect of the cloud, on a real API server', () => {
  let plane: ControlPlane;
  let arena: Arena;
  beforeAll(async () => {
    plane = await startControlPlane();
    arena = new Arena({ url: plane.url, token: plane.token(), ca: readFileSync(plane.caFile, 'utf8') });
    await arena.open();
  });
  afterAll(async () => {
    await arena?.close();
    await plane?.stop();
  });

  it('a create is completed by the next start', async () => {
    expect(await arena.create()).toBe(4);
  });

  it('an update is completed by the next start', async () => {
    expect(await arena.update()).toBe(4);
  });

  it('a delete is completed by the next start', async () => {
    expect(await arena.delete()).toBe(4);
  });
});
