import { readdir } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { MemoryCloud } from '../src/provider/memory.ts';
import { startSandbox, type JsonObject, type Sandbox } from '../src/sandbox/index.ts';
import {
  berth,
  CLOUD_PROVIDER,
  runProgram,
  scratch,
  startProgram,
  type Scratch,
} from './fixtures/command-line.ts';
import { serveCloud, type CloudServer } from './fixtures/remote-cloud.ts';
import { startLocal, type LocalController } from './fixtures/run-controller.ts';

let files: Scratch;
beforeAll(async () => {
  files = await scratch();
});
afterAll(() => files.remove());

/** A sandbox with two nodes and a cloud, and the options that make a command use both. */
class Playground {
  readonly sandbox: Sandbox;
  readonly cloud: MemoryCloud;
  readonly options: readonly string[];
  readonly kubeconfig: string;
  readonly #server: CloudServer;
  #leader: LocalController | undefined;

  private constructor(parts: {
    sandbox: Sandbox;
    cloud: MemoryCloud;
    server: CloudServer;
    kubeconfig: string;
    config: string;
  }) {
    this.sandbox = parts.sandbox;
    this.cloud = parts.cloud;
    this.#server = parts.server;
    this.kubeconfig = parts.kubeconfig;
    this.options = ['--kubeconfig', parts.kubeconfig, '--config', parts.config];
  }

  static async open(pool: readonly string[] = ['192.0.2.1-192.0.2.9']): Promise<Playground> {
    const sandbox = await startSandbox();
    const cloud = new MemoryCloud();
    const server = await serveCloud(cloud);
    const name = `${Math.random()}`;
    const kubeconfig = await files.file(`${name}.kubeconfig`, sandbox.kubeconfig);
    const provider = { provider: CLOUD_PROVIDER, config: { cloud: server.url, pool } };
    const config = await files.file(`${name}.yaml`, JSON.stringify({ providers: { memory: provider } }));
    sandbox.objects.create('namespaces', { metadata: { name: 'berth-system' } });
    for (const index of [1, 2]) {
      sandbox.objects.create('nodes', { metadata: { name: `node-${index}` } });
      const addresses = [{ type: 'InternalIP', address: `10.0.0.${index}` }];
      const ref = { resource: 'nodes', name: `node-${index}` };
      sandbox.objects.patch(ref, { spec: { taints: null } });
      sandbox.objects.patch(ref, { status: { addresses } }, { status: true });
    }
    return new Playground({ sandbox, cloud, server, kubeconfig, config });
  }

  service(name: string, spec: JsonObject = {}, annotations: Record<string, string> = {}): void {
    this.sandbox.objects.create('services', {
      metadata: { name, annotations },
      spec: { type: 'LoadBalancer', ports: [{ port: 80 }], ...spec },
    });
  }

  /** Starts a controller with the Lease, and waits until it has nothing to do. */
  async lead(): Promise<void> {
    const { sandbox, cloud } = this;
    this.#leader = startLocal({
      server: sandbox,
      provider: { cloud, pool: ['192.0.2.1-192.0.2.9'] },
      election: { namespace: 'berth-system', identity: `leader_${crypto.randomUUID()}` },
    });
    const controller = await this.#leader.acting;
    await vi.waitUntil(() => controller.idle, { interval: 5 });
  }

  async retire(): Promise<void> {
    await this.#leader?.stop();
    this.#leader = undefined;
  }

  run(...argv: readonly string[]): ReturnType<typeof berth> {
    return berth([...argv, ...this.options]);
  }

  get(
    name: string,
  ): { finalizers: readonly string[]; conditions: number; ip: string | undefined } | undefined {
    const found = this.sandbox.objects.get({ resource: 'services', name });
    if (found === undefined) return undefined;
    const status = found['status'] as unknown as {
      conditions?: unknown[];
      loadBalancer: { ingress?: { ip?: string }[] };
    };
    return {
      finalizers: found.metadata.finalizers ?? [],
      conditions: status.conditions?.length ?? 0,
      ip: status.loadBalancer.ingress?.[0]?.ip,
    };
  }

  async close(): Promise<void> {
    await this.retire();
    await this.#server.close();
    await this.sandbox.stop();
  }
}

let ground: Playground;
beforeEach(async () => {
  ground = await Playground.open();
});
afterEach(() => ground.close());

const columns = (line: string | undefined): readonly string[] => (line ?? '').trim().split(/ {2,}/);

describe('berth plan', () => {
  it('looks by itself where there is no leader, says so, and prints the steps in their order with a line of counts', async () => {
    ground.service('web');
    ground.service('taken', { loadBalancerIP: '192.0.2.5' });
    ground.service('late', { loadBalancerIP: '10.9.9.9' });
    const { code, out, err } = await ground.run('plan');
    const lines = out.split('\n');
    expect(code).toBe(0);
    expect(err).toBe('Observed from here: there is no Lease berth-system/berth-controller.\n');
    expect(columns(lines[0])).toEqual(['SERVICE', 'PROVIDER', 'STAGE', 'VERB', 'RESOURCE', 'KEY', 'BECAUSE']);
    expect(lines.slice(1, 7).map((line) => columns(line).slice(0, 6).join(' '))).toEqual([
      'default/taken memory 0 create loadBalancer default/taken',
      'default/taken memory 1 create listener 80/TCP',
      'default/taken memory 1 create targets all',
      'default/web memory 0 create loadBalancer default/web',
      'default/web memory 1 create listener 80/TCP',
      'default/web memory 1 create targets all',
    ]);
    expect(lines[8]).toBe(
      'default/late: AddressOutsidePool: 10.9.9.9 was asked for, but it is not in pool default (192.0.2.1-192.0.2.9). ' +
        'Add the address to a pool, or ask for one that is in a pool.',
    );
    expect(lines.slice(9)).toEqual([
      '',
      'Plan: 6 to create, 0 to update, 0 to replace, 0 to delete, 1 Service cannot be served',
      '',
    ]);
    expect(ground.cloud.writes).toBe(0);
    expect(ground.sandbox.requests.count({ verb: 'write' })).toBe(0);
  });

  it('asks the leader where there is one, which has nothing left to do', async () => {
    ground.service('web');
    await ground.lead();
    const { code, out, err } = await ground.run('plan');
    expect({ code, out, err }).toEqual({
      code: 0,
      out: 'Plan: 0 to create, 0 to update, 0 to replace, 0 to delete\n',
      err: 'Answered by the leader leader.\n',
    });
  });

  it('looks by itself where the leader does not answer, and says why', async () => {
    ground.service('web');
    await ground.lead();
    ground.sandbox.objects.patch(
      { resource: 'leases', namespace: 'berth-system', name: 'berth-controller' },
      { metadata: { annotations: { 'berth.dev/endpoint': 'http://127.0.0.1:1' } } },
    );
    const { out, err } = await ground.run('plan');
    expect(err).toContain('Observed from here: the leader leader does not answer at http://127.0.0.1:1: ');
    expect(out).toBe('Plan: 0 to create, 0 to update, 0 to replace, 0 to delete\n');
  });

  it('shows what somebody changed by hand, when it looks itself', async () => {
    ground.service('web');
    await ground.lead();
    await ground.retire();
    ground.cloud.tamper('default/web', (now) => ({ ...now, listeners: {} }));
    const { out } = await ground.run('plan');
    expect(out).toContain('Plan: 1 to create, 0 to update, 0 to replace, 0 to delete\n');
  });

  it('prints JSON on standard output and nothing else there', async () => {
    ground.service('web');
    const { out } = await ground.run('plan', '--output', 'json');
    const { source, counts, plan } = JSON.parse(out) as Record<string, unknown> & {
      plan: { steps: unknown[] }[];
    };
    expect(source).toEqual({
      from: 'observation',
      because: 'there is no Lease berth-system/berth-controller',
      unseen: [],
    });
    expect(counts).toEqual({ create: 3, update: 0, replace: 0, delete: 0, problems: 0 });
    expect(plan).toHaveLength(1);
    expect(plan[0]?.steps[0]).toMatchObject({
      verb: 'create',
      resource: 'loadBalancer',
      scope: 'default/web',
    });
  });

  it('ends with 2 under --detailed-exitcode when there are steps, and with 0 when there are none', async () => {
    expect((await ground.run('plan', '--detailed-exitcode')).code).toBe(0);
    ground.service('web');
    expect((await ground.run('plan', '--detailed-exitcode')).code).toBe(2);
    expect((await ground.run('plan')).code).toBe(0);
  });
});

describe('berth status', () => {
  it('lists the Services sorted, says what is wrong with those that have nothing, and counts', async () => {
    ground.service('web');
    ground.service('fixed', { loadBalancerIP: '192.0.2.5' });
    await ground.lead();
    ground.service('late', { loadBalancerIP: '192.0.2.5' });
    ground.service('cluster', { type: 'ClusterIP' });
    await expect.poll(() => ground.get('late')?.conditions).toBe(1);
    const { code, out } = await ground.run('status');
    const lines = out.split('\n');
    expect(code).toBe(0);
    expect(lines.slice(0, 4).map(columns)).toEqual([
      ['SERVICE', 'PROVIDER', 'ADDRESS', 'PORTS', 'STATE', 'REASON'],
      ['default/fixed', 'memory', '192.0.2.5', '80/TCP', 'provisioned', 'Provisioned'],
      ['default/late', 'memory', '<none>', '80/TCP', 'failed', 'AddressInUse'],
      ['default/web', 'memory', '192.0.2.1', '80/TCP', 'provisioned', 'Provisioned'],
    ]);
    expect(lines[5]).toMatch(
      /^default\/late: AddressInUse: 192\.0\.2\.5 was asked for, .* Ask for another address/,
    );
    expect(lines[7]).toBe('Status: 3 Services, 2 provisioned, 1 failed, 0 pending');
  });

  it('shows what is frozen as paused, also when it was provisioned before, with a leader and without', async () => {
    ground.service('web');
    await ground.lead();
    await expect.poll(() => ground.get('web')?.conditions).toBe(1);
    ground.sandbox.objects.patch(
      { resource: 'services', namespace: 'default', name: 'web' },
      { metadata: { annotations: { 'berth.dev/paused': 'true' } } },
    );
    const status = async (): Promise<readonly (readonly string[])[]> =>
      (await ground.run('status')).out.split('\n').map(columns);
    const expected = [
      ['default/web', 'memory', '192.0.2.1', '80/TCP', 'paused', 'Paused'],
      ['Status: 1 Service, 0 provisioned, 0 failed, 0 pending, 1 paused'],
    ];
    await expect.poll(status).toEqual(expect.arrayContaining(expected));
    await ground.retire();
    expect(await status()).toEqual(expect.arrayContaining(expected));
    const { out } = await ground.run('status', '--output', 'json');
    expect(JSON.parse(out)).toMatchObject({
      counts: { provisioned: 0, pending: 0, paused: 1 },
      announcements: [],
    });
  });

  it('says the same from the statuses when no leader runs', async () => {
    ground.service('web');
    await ground.lead();
    const byLeader = await ground.run('status');
    await ground.retire();
    const fromHere = await ground.run('status');
    expect(fromHere.out).toBe(byLeader.out);
    expect(fromHere.err).toBe('Observed from here: nobody holds the Lease berth-system/berth-controller.\n');
  });
});

describe('berth explain', () => {
  it('says that all is well, with addresses, ports and the nodes that take traffic', async () => {
    ground.service('web');
    ground.sandbox.objects.patch(
      { resource: 'nodes', name: 'node-2' },
      { metadata: { labels: { 'node.kubernetes.io/exclude-from-external-load-balancers': 'true' } } },
    );
    await ground.lead();
    const { code, out } = await ground.run('explain', 'default/web');
    expect(code).toBe(0);
    const nodePort = /Ports: {6}80\/TCP to node port (\d+)\n/.exec(out)?.[1];
    expect(Number(nodePort)).toBeGreaterThanOrEqual(30_000);
    expect(out).toBe(
      'Service:    default/web\nProvider:   memory\nReason:     Provisioned\n' +
        'Because:    The load balancer is provisioned\nTo do:      nothing\nAddresses:  192.0.2.1\n' +
        `Ports:      80/TCP to node port ${nodePort}\n\n` +
        'NODE     TAKES TRAFFIC   BECAUSE\n' +
        'node-1   yes             at 10.0.0.1\n' +
        'node-2   no              it has the label node.kubernetes.io/exclude-from-external-load-balancers=true\n',
    );
  });

  it.each<[string, JsonObject, Record<string, string>, readonly string[]]>([
    [
      'a misspelt annotation',
      {},
      { 'memory.berth.dev/idle-timeout-secnds': '5' },
      ['UnknownAnnotation', 'Did you mean memory.berth.dev/idle-timeout-seconds?'],
    ],
    [
      'a bad value of an annotation',
      {},
      { 'memory.berth.dev/idle-timeout-seconds': 'soon' },
      ['InvalidAnnotation', 'has the value "soon"', 'a whole number of seconds from 1 to 3600'],
    ],
    [
      'a class that nobody serves',
      { loadBalancerClass: 'example.com/other' },
      {},
      [
        'NotServed',
        'its class is example.com/other, and the classes served are berth.dev/memory',
        'Set spec.loadBalancerClass to a class that Berth serves',
      ],
    ],
    [
      'a family that no pool has',
      { ipFamilies: ['IPv6'], ipFamilyPolicy: 'SingleStack' },
      {},
      ['NoPool', 'Configure a pool with addresses of that family'],
    ],
    [
      'an address that no pool has',
      { loadBalancerIP: '203.0.113.1' },
      {},
      ['AddressOutsidePool', 'Add the address to a pool'],
    ],
  ])('names reason and remedy for %s, the same with a leader and without', async (...row) => {
    const [, spec, annotations, expected] = row;
    ground.service('web', spec, annotations);
    const fromHere = await ground.run('explain', 'default/web');
    for (const text of expected) expect(fromHere.out).toContain(text);
    expect(fromHere.code).toBe(0);
    await ground.lead();
    const byLeader = await ground.run('explain', 'default/web');
    for (const text of expected) expect(byLeader.out).toContain(text);
  });

  it('has no node take the traffic of a Service that nobody serves, and says of a frozen one that it is', async () => {
    ground.service('other', { loadBalancerClass: 'example.com/other' });
    ground.service('frozen', {}, { 'berth.dev/paused': 'true' });
    await ground.lead();
    expect((await ground.run('explain', 'other')).out).not.toContain('TAKES TRAFFIC');
    const { out } = await ground.run('explain', 'frozen');
    expect(out).toContain('TAKES TRAFFIC');
    expect(out).toMatch(/Reason: {5}Paused\nBecause: .*berth\.dev\/paused\nTo do: {6}Remove the annotation/);
  });

  it('takes the namespace from -n or the kubeconfig, and fails for a Service that is not there', async () => {
    ground.service('web');
    expect((await ground.run('explain', 'web')).out).toContain('default/web');
    expect((await ground.run('explain', 'web', '-n', 'default')).code).toBe(0);
    const missing = await ground.run('explain', 'web', '-n', 'other');
    expect(missing.code).toBe(1);
    expect(missing.out).toContain('there is no Service other/web');
    expect(missing.out).toContain('kubectl get services');
  });

  it.each(['a/b/c', '/web', 'default/', ''])('refuses %j, which names no Service', async (name) => {
    const { code, err } = await ground.run('explain', name);
    expect(code).toBe(2);
    expect(err).toContain('Write NAMESPACE/NAME');
  });

  it('refuses a name whose namespace contradicts -n', async () => {
    expect((await ground.run('explain', 'a/web', '-n', 'b')).code).toBe(2);
  });
});

describe('berth sweep', () => {
  /** Something of ours that belongs to no Service: what is left when somebody took the finalizer away. */
  async function orphan(): Promise<void> {
    ground.service('old');
    ground.service('kept');
    await ground.lead();
    await ground.retire();
    ground.sandbox.objects.patch({ resource: 'services', name: 'old' }, { metadata: { finalizers: null } });
    ground.sandbox.objects.delete({ resource: 'services', name: 'old' });
  }

  it('reports what belongs to no Service and what was changed by hand, and changes nothing', async () => {
    await orphan();
    ground.cloud.tamper('default/kept', (now) => ({ ...now, targets: [] }));
    const writes = ground.cloud.writes;
    const { code, out } = await ground.run('sweep');
    const lines = out.split('\n');
    expect(code).toBe(0);
    expect(columns(lines[0])).toEqual(['PROVIDER', 'FOUND', 'SERVICE', 'DETAIL']);
    expect(columns(lines[1]).slice(0, 3)).toEqual(['memory', 'drift', 'default/kept']);
    expect(columns(lines[2]).slice(0, 3)).toEqual(['memory', 'orphan', 'default/old']);
    expect(lines[4]).toBe('Sweep: 1 drifted, 1 orphan');
    expect(ground.cloud.writes).toBe(writes);
  });

  it('--delete refuses while a controller runs, naming it and what to do', async () => {
    await ground.lead();
    const { code, err } = await ground.run('sweep', '--delete');
    expect(code).toBe(1);
    expect(err).toMatch(
      /^berth: the Lease berth-system\/berth-controller is held by leader, .*Stop that process first.*\n$/,
    );
  });

  it('says of a leader that it has not swept yet', async () => {
    await ground.lead();
    const { code, out, err } = await ground.run('sweep');
    expect({ code, out }).toEqual({ code: 0, out: '' });
    expect(err).toContain('has not swept since it began to lead');
  });

  it('says of a provider that keeps everything in its process that nothing can be seen from here', async () => {
    ground.service('web');
    await ground.lead();
    await ground.retire();
    ground.cloud.tamper('default/web', () => undefined);
    const { out, err } = await ground.run('sweep');
    expect(out).toBe('Sweep: 0 drifted, 0 orphans\n');
    expect(err).toContain('The provider memory keeps its load balancers inside the process that runs it');
  });
});

describe('berth uninstall', () => {
  beforeEach(async () => {
    ground.service('web');
    ground.service('foreign', { loadBalancerClass: 'example.com/other' });
    await ground.lead();
  });

  it('refuses while the Lease is held, and changes nothing', async () => {
    const { code, err } = await ground.run('uninstall');
    expect(code).toBe(1);
    expect(err).toContain('is held by leader, so a controller is at work');
    expect(ground.get('web')?.finalizers).toEqual(['berth.dev/load-balancer']);
  });

  it('--dry-run says what would be done, and who stands in the way', async () => {
    const { code, out, err } = await ground.run('uninstall', '--dry-run', '--delete');
    expect(code).toBe(0);
    expect(err).toBe('leader holds the Lease: stop it before you run this in earnest.\n');
    expect(out).toContain('Plan: 0 to create, 0 to update, 0 to replace, 3 to delete\n');
    expect(out).toContain(
      'would release default/web\nUninstall: 1 Service to release (dry run, nothing was changed)\n',
    );
    expect(ground.get('web')?.finalizers).toEqual(['berth.dev/load-balancer']);
    expect(ground.cloud.loadBalancers.size).toBe(1);
  });

  it('takes our finalizer and condition, leaves those of others, and keeps address and load balancer', async () => {
    await ground.retire();
    ground.sandbox.objects.patch(
      { resource: 'services', name: 'web' },
      { metadata: { finalizers: ['example.com/other', 'berth.dev/load-balancer'] } },
    );
    const { code, out } = await ground.run('uninstall');
    expect(code).toBe(0);
    expect(out).toBe(
      'released default/web\nUninstall: 1 Service released, 0 failed; the load balancers stay as they are\n',
    );
    expect(ground.get('web')).toEqual({ finalizers: ['example.com/other'], conditions: 0, ip: '192.0.2.1' });
    expect(ground.cloud.loadBalancers.has('default/web')).toBe(true);
    expect((await ground.run('uninstall')).out).toContain('Uninstall: 0 Services released');
  });

  it('--delete deletes the load balancers first, and takes the addresses from the statuses', async () => {
    await ground.retire();
    const { code, out, err } = await ground.run('uninstall', '--delete');
    expect(code).toBe(0);
    expect(err).toBe('deleting the load balancer of default/web (memory)\n');
    expect(out).toBe('released default/web\nUninstall: 1 Service released, 0 failed\n');
    expect(ground.get('web')).toEqual({ finalizers: [], conditions: 0, ip: undefined });
    expect(ground.cloud.loadBalancers.size).toBe(0);
    expect(ground.cloud.violations).toEqual([]);
  });

  it('lets a Service go that is being deleted', async () => {
    await ground.retire();
    ground.sandbox.objects.delete({ resource: 'services', name: 'web' });
    expect(ground.get('web')).toBeDefined();
    await ground.run('uninstall');
    expect(ground.get('web')).toBeUndefined();
  });

  it('works without a namespace for the Lease, where there can be no leader', async () => {
    await ground.retire();
    const { code } = await ground.run('uninstall', '--leader-elect-namespace', 'nowhere');
    expect(code).toBe(0);
    expect(ground.get('web')?.finalizers).toEqual([]);
  });
});

describe('a command that cannot do its work says in one line what to do, with its exit code', () => {
  const cases: readonly (readonly [
    string,
    () => readonly string[] | Promise<readonly string[]>,
    number,
    RegExp,
  ])[] = [
    ['an unknown command', () => ['statsu'], 2, /unknown command 'statsu' \(Did you mean status\?\)/],
    [
      'no kubeconfig',
      () => ['plan'],
      3,
      /no kubeconfig: .* Name one with --kubeconfig FILE or KUBECONFIG\.$/,
    ],
    [
      'a kubeconfig that is not there',
      () => ['plan', '--kubeconfig', '/nope'],
      3,
      /\/nope.*name another with --kubeconfig/,
    ],
    [
      'a context that is not there',
      () => ['plan', '--kubeconfig', ground.kubeconfig, '--context', 'nope'],
      3,
      /no usable context "nope"/,
    ],
    [
      'an API server that is away',
      async () => {
        await ground.sandbox.crash();
        return ['plan', ...ground.options];
      },
      4,
      /ECONNREFUSED.*Check that the API server runs and that the kubeconfig names its address\.$/,
    ],
    [
      'an API server that refuses',
      () => {
        ground.sandbox.faults.add({ verb: 'list', resource: 'nodes', status: 403, times: Infinity });
        return ['status', ...ground.options];
      },
      4,
      /403.*Ask for this permission, or use a kubeconfig that has it\.$/,
    ],
    [
      'a provider that is not installed',
      () => ['plan', '--kubeconfig', ground.kubeconfig, '--provider', 'nope'],
      5,
      /no package nope.*npm install nope/,
    ],
    [
      'a provider whose configuration is wrong',
      async () => {
        const config = { providers: { memory: { config: { latencyMs: -1 } } } };
        return [
          'plan',
          '--kubeconfig',
          ground.kubeconfig,
          '--config',
          await files.file('wrong.yaml', JSON.stringify(config)),
        ];
      },
      2,
      /providers\.memory\.config\.latencyMs: .*Correct the value in the configuration\.$/,
    ],
    [
      'a provider whose configuration is wrong, also while the API server is away',
      async () => {
        await ground.sandbox.crash();
        const config = {
          kubeconfig: ground.kubeconfig,
          providers: { memory: { config: { latencyMs: -1 } } },
        };
        const file = await files.file('wrong.yaml', JSON.stringify(config));
        return ['run', '--config', file, '--log-level', 'error'];
      },
      2,
      /providers\.memory\.config\.latencyMs: .*Correct the value in the configuration\.$/,
    ],
    [
      'a default provider that is none of the configured ones',
      () => ['plan', ...ground.options, '--default-provider', 'aws'],
      5,
      /Add --provider aws, or name a configured one/,
    ],
    [
      'a namespace of the Lease that is not there',
      () => ['run', ...ground.options, '--leader-elect-namespace', 'nope', '--log-level', 'error'],
      3,
      /kubectl create namespace nope/,
    ],
  ];

  it.each(cases)('%s', async (...row) => {
    const [, argv, exitCode, line] = row;
    const { code, err, out } = await berth(await argv());
    expect(code).toBe(exitCode);
    expect(err).toMatch(/^berth: [^\n]*\n$/);
    expect(err.trimEnd()).toMatch(line);
    expect(out).toBe('');
  });

  it('an interrupted question ends with 130 and says nothing', async () => {
    ground.sandbox.faults.add({ verb: 'list', delayMs: 5_000, times: Infinity });
    const abort = new AbortController();
    setTimeout(() => abort.abort(new Error('SIGINT')), 200);
    expect(await berth(['plan', ...ground.options], abort.signal)).toEqual({ code: 130, out: '', err: '' });
  });
});

describe('the program', () => {
  it('starts, prints its help and ends', async () => {
    const { code, out, err } = await runProgram(['--help']);
    expect(code).toBe(0);
    expect(err).toBe('');
    expect(out).toContain('Usage: berth');
    expect(out).toContain('Exit codes:');
  });

  it('answers on pipes without colours, and ends by itself', async () => {
    ground.service('web');
    const { code, out } = await runProgram(['plan', ...ground.options]);
    expect(code).toBe(0);
    expect(out).toContain('Plan: 3 to create');
    expect(out).not.toContain('\u001B');
  });

  it('says so when the port it is to listen on is in use', async () => {
    const taken: Server = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    const { port } = taken.address() as { port: number };
    const { code, err } = await runProgram([
      'run',
      ...ground.options,
      '--no-leader-elect',
      '--log-level',
      'error',
      '--listen',
      `127.0.0.1:${port}`,
    ]);
    await new Promise((resolve) => taken.close(resolve));
    expect(code).toBe(3);
    expect(err).toBe(
      `berth: 127.0.0.1:${port} is in use: stop what listens there, or choose another port (--listen HOST:PORT, --port N)\n`,
    );
  });

  it('run --no-leader-elect acts alone, and does not beside a controller that holds the Lease', async () => {
    ground.service('web');
    const alone = startProgram(['run', ...ground.options, '--no-leader-elect', '--output', 'json']);
    await alone.says(/"event":"acting"/);
    await expect.poll(() => ground.get('web')?.ip, { timeout: 5_000 }).toBe('192.0.2.1');
    alone.kill('SIGTERM');
    expect((await alone.ended).code).toBe(0);
    await ground.lead();
    const second = await runProgram(['run', ...ground.options, '--no-leader-elect', '--log-level', 'error']);
    expect(second.code).toBe(1);
    expect(second.err).toMatch(
      /^berth: the Lease berth-system\/berth-controller is held by .+\. Stop .+, then run this again\.\n$/,
    );
  });

  it.each(['SIGTERM', 'SIGINT'] as const)(
    'run serves until %s, then gives the Lease back and ends well',
    async (signal) => {
      ground.service('web');
      const program = startProgram(['run', ...ground.options, '--output', 'json']);
      await program.says(/"event":"acting"/);
      await expect.poll(() => ground.get('web')?.ip, { timeout: 5_000 }).toBe('192.0.2.1');
      program.kill(signal);
      const { code, out, err } = await program.ended;
      expect(code).toBe(0);
      expect(
        out
          .trim()
          .split('\n')
          .map((line) => (JSON.parse(line) as { event: string }).event),
      ).toEqual(['starting', 'acting', 'ended']);
      for (const line of err.trim().split('\n')) expect(JSON.parse(line)).toHaveProperty('level');
      const lease = ground.sandbox.objects.get({
        resource: 'leases',
        namespace: 'berth-system',
        name: 'berth-controller',
      });
      expect(lease?.['spec']).toMatchObject({ holderIdentity: '' });
      expect([...ground.cloud.loadBalancers.keys()]).toEqual(['default/web']);
    },
  );

  it('runs a stranger’s provider that is given as a path, with the section of its short name', async () => {
    ground.service('web');
    const directory = join(files.path, 'hello');
    const config = await files.file(
      'hello.yaml',
      JSON.stringify({ providers: { hello: { config: { directory, addresses: ['192.0.2.0/28'] } } } }),
    );
    const hello = fileURLToPath(new URL('examples/provider-hello', import.meta.url));
    const program = startProgram([
      'run',
      '--provider',
      hello,
      '--config',
      config,
      '--kubeconfig',
      ground.kubeconfig,
      '--output',
      'json',
    ]);
    await program.says(/"event":"acting"/);
    await expect.poll(() => ground.get('web')?.ip, { timeout: 5_000 }).toMatch(/^192\.0\.2\./);
    program.kill('SIGTERM');
    expect((await program.ended).code).toBe(0);
    expect(await readdir(directory)).toEqual(['default.web.cfg']);
  });

  it('run ends with 6 when somebody else takes the Lease', async () => {
    const config = await files.file(
      'short-lease.yaml',
      JSON.stringify({
        providers: { memory: {} },
        leaderElection: { leaseDuration: '3s', renewDeadline: '2s', retryPeriod: '200ms' },
      }),
    );
    const program = startProgram([
      'run',
      '--kubeconfig',
      ground.kubeconfig,
      '--config',
      config,
      '--output',
      'json',
    ]);
    await program.says(/"event":"acting"/);
    ground.sandbox.objects.patch(
      { resource: 'leases', namespace: 'berth-system', name: 'berth-controller' },
      { spec: { holderIdentity: 'somebody-else' } },
    );
    const { code, err } = await program.ended;
    expect(code).toBe(6);
    expect(err).toContain('another process leads, this one ends');
  });
});
