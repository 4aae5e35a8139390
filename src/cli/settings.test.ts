import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { readEnvironment } from './environment.ts';
import { resolveSettings, type Flags, type Settings } from './settings.ts';

const directory = mkdtempSync(join(tmpdir(), 'berth-settings-'));
afterAll(() => rmSync(directory, { recursive: true }));

function fileWith(text: string): string {
  const path = join(directory, `${Math.random()}.yaml`);
  writeFileSync(path, text);
  return path;
}

const OUTSIDE = readEnvironment({}, '/nowhere');

/** The ServiceAccount directory of a pod in the namespace `from-account`. */
function serviceAccount(): string {
  const path = mkdtempSync(join(directory, 'pod-'));
  writeFileSync(join(path, 'token'), 't');
  writeFileSync(join(path, 'namespace'), 'from-account\n');
  return path;
}

const POD = { KUBERNETES_SERVICE_HOST: '10.0.0.1', POD_NAME: 'berth-0', POD_NAMESPACE: 'infra' };

describe('settings', () => {
  it('have defaults for everything', () => {
    const { election, ...rest } = resolveSettings({}, OUTSIDE);
    expect(rest).toEqual({
      kubeconfig: undefined,
      context: undefined,
      clusterId: undefined,
      clusterName: 'kubernetes',
      providers: [{ spec: 'local' }],
      defaultProvider: undefined,
      elect: true,
      controller: {
        concurrentSyncs: 10,
        sweepIntervalMs: 600_000,
        drift: 'enforce',
        deleteOrphans: false,
        allocateNodePorts: true,
      },
      listen: { host: '127.0.0.1', port: 0 },
      pod: undefined,
      logLevel: undefined,
    });
    expect(election).toEqual({
      namespace: 'berth-system',
      identity: expect.stringMatching(/_[0-9a-f-]{36}$/),
    });
  });

  it.each<{
    name: keyof Flags;
    flags: Flags;
    file: string;
    pick: (s: Settings) => unknown;
    expected: readonly [byFlag: unknown, byFile: unknown];
  }>([
    {
      name: 'kubeconfig',
      flags: { kubeconfig: '/flag' },
      file: 'kubeconfig: /file',
      pick: (s) => s.kubeconfig,
      expected: ['/flag', '/file'],
    },
    {
      name: 'context',
      flags: { context: 'flag' },
      file: 'context: file',
      pick: (s) => s.context,
      expected: ['flag', 'file'],
    },
    {
      name: 'clusterId',
      flags: { clusterId: 'flag' },
      file: 'clusterId: file',
      pick: (s) => s.clusterId,
      expected: ['flag', 'file'],
    },
    {
      name: 'clusterName',
      flags: { clusterName: 'flag' },
      file: 'clusterName: file',
      pick: (s) => s.clusterName,
      expected: ['flag', 'file'],
    },
    {
      name: 'defaultProvider',
      flags: { defaultProvider: 'a' },
      file: 'defaultProvider: b',
      pick: (s) => s.defaultProvider,
      expected: ['a', 'b'],
    },
    {
      name: 'leaderElect',
      flags: { leaderElect: true },
      file: 'leaderElection: { enabled: false }',
      pick: (s) => s.elect,
      expected: [true, false],
    },
    {
      name: 'leaderElectNamespace',
      flags: { leaderElectNamespace: 'a' },
      file: 'leaderElection: { namespace: b }',
      pick: (s) => s.election.namespace,
      expected: ['a', 'b'],
    },
    {
      name: 'sweepInterval',
      flags: { sweepInterval: 1 },
      file: 'sweepInterval: 2s',
      pick: (s) => s.controller.sweepIntervalMs,
      expected: [1, 2_000],
    },
    {
      name: 'drift',
      flags: { drift: 'enforce' },
      file: 'drift: observe',
      pick: (s) => s.controller.drift,
      expected: ['enforce', 'observe'],
    },
    {
      name: 'deleteOrphans',
      flags: { deleteOrphans: false },
      file: 'deleteOrphans: true',
      pick: (s) => s.controller.deleteOrphans,
      expected: [false, true],
    },
    {
      name: 'allocateNodePorts',
      flags: { allocateNodePorts: true },
      file: 'allocateNodePorts: false',
      pick: (s) => s.controller.allocateNodePorts,
      expected: [true, false],
    },
    {
      name: 'concurrentSyncs',
      flags: { concurrentSyncs: 1 },
      file: 'concurrentSyncs: 2',
      pick: (s) => s.controller.concurrentSyncs,
      expected: [1, 2],
    },
    {
      name: 'listen',
      flags: { listen: { host: 'a', port: 1 } },
      file: 'listen: b:2',
      pick: (s) => s.listen.host,
      expected: ['a', 'b'],
    },
    {
      name: 'logLevel',
      flags: { logLevel: 'warn' },
      file: 'logLevel: debug',
      pick: (s) => s.logLevel,
      expected: ['warn', 'debug'],
    },
  ])('$name: the flag wins over the file, the file over the default', ({ flags, file, pick, expected }) => {
    const config = fileWith(file);
    const both = [{ ...flags, config }, { config }].map((given) => pick(resolveSettings(given, OUTSIDE)));
    expect(both).toEqual(expected);
    expect(pick(resolveSettings({}, OUTSIDE))).not.toEqual(expected[1]);
  });

  it('load the providers of the flags, configured by the sections of the file', () => {
    const config = fileWith(
      'providers: { one: { provider: "@x/one", classes: [a/b], config: { c: 1 } }, two: {}, three: null }',
    );
    expect(resolveSettings({ config }, OUTSIDE).providers).toEqual([
      { spec: '@x/one', section: 'one', classes: ['a/b'], config: { c: 1 } },
      { spec: 'two', section: 'two' },
      { spec: 'three', section: 'three' },
    ]);
    expect(resolveSettings({ config, provider: ['one', 'other'] }, OUTSIDE).providers).toEqual([
      { spec: '@x/one', section: 'one', classes: ['a/b'], config: { c: 1 } },
      { spec: 'other' },
    ]);
  });

  it.each([
    ['./provider-hello', './provider-hello', 'hello'],
    ['/opt/berth-provider-hello/index.js', '/opt/berth-provider-hello/index.js', undefined],
    ['/opt/hello.mjs', '/opt/hello.mjs', 'hello'],
    ['@example/provider-hello', '@example/provider-hello', 'hello'],
    ['berth-provider-hello', 'berth-provider-hello', 'hello'],
    ['/opt/elsewhere', '/opt/elsewhere', 'elsewhere-section'],
    ['other', 'other', undefined],
  ])('find the section for --provider %s, which loads %s: %s', (given, spec, section) => {
    const config = fileWith('providers: { hello: {}, elsewhere-section: { provider: /opt/elsewhere } }');
    const [found] = resolveSettings({ config, provider: [given] }, OUTSIDE).providers;
    expect(found).toEqual(section === undefined ? { spec } : { spec, section });
  });

  it('cannot be changed afterwards', () => {
    const settings = resolveSettings({}, OUTSIDE);
    expect(
      Object.isFrozen(settings) && Object.isFrozen(settings.controller) && Object.isFrozen(settings.election),
    ).toBe(true);
  });
});

describe('inside a pod', () => {
  it('the downward API gives identity, namespace of the Lease and the way to be reached', () => {
    const settings = resolveSettings({}, readEnvironment(POD, serviceAccount()));
    expect(settings.pod).toBe('pod/infra/berth-0');
    expect(settings.election.namespace).toBe('infra');
    expect(settings.election.identity).toMatch(/^berth-0_/);
    expect(settings.listen).toEqual({ host: '0.0.0.0', port: 8080 });
  });

  it('the namespace of the ServiceAccount stands in for a missing POD_NAMESPACE, but nothing for POD_NAME', () => {
    const { POD_NAME: _name, POD_NAMESPACE: _namespace, ...bare } = POD;
    const settings = resolveSettings({}, readEnvironment(bare, serviceAccount()));
    expect(settings.election.namespace).toBe('from-account');
    expect(settings.pod).toBeUndefined();
  });

  it('flags win over all of that', () => {
    const flags: Flags = { leaderElectNamespace: 'elsewhere', listen: { host: '127.0.0.1', port: 1 } };
    const settings = resolveSettings(flags, readEnvironment(POD, serviceAccount()));
    expect(settings.election.namespace).toBe('elsewhere');
    expect(settings.listen).toEqual({ host: '127.0.0.1', port: 1 });
  });

  it('is where there is an API server in the environment and a ServiceAccount on disk, and nowhere else', () => {
    expect(readEnvironment(POD, serviceAccount()).inPod).toBe(true);
    expect(readEnvironment(POD, '/nowhere').inPod).toBe(false);
    expect(readEnvironment({}, serviceAccount()).inPod).toBe(false);
  });
});

it.each([
  [{ NO_COLOR: '1' }, true],
  [{ NO_COLOR: '' }, false],
  [{}, false],
])('the environment %j forbids colours: %s', (variables, forbidden) => {
  expect(readEnvironment(variables, '/nowhere').noColor).toBe(forbidden);
});

describe('flags of a provider', () => {
  it('are its configuration in short, win over the file, and touch no other provider', () => {
    const flags = { provider: ['aws', 'local'], awsVpcId: 'vpc-1', clusterPolicyHealthCheck: 'kube-proxy' };
    const { providers } = resolveSettings(flags, readEnvironment({}));
    expect(providers).toEqual([
      { spec: 'aws', config: { vpcId: 'vpc-1', clusterPolicyHealthCheck: 'kube-proxy' } },
      { spec: 'local' },
    ]);
  });
});
