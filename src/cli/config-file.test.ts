import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { EXAMPLE, KEYS, parseConfig, readConfigFile } from './config-file.ts';
import { UsageError } from './errors.ts';

function problemsOf(work: () => unknown): readonly string[] {
  try {
    work();
  } catch (error) {
    if (error instanceof UsageError) return error.problems;
    throw error;
  }
  return [];
}

const EVERYTHING = `
kubeconfig: /etc/kubeconfig
context: production
clusterId: 1234
clusterName: tokyo
providers:
  local:
  mine:
    provider: '@example/provider'
    classes: [example.com/internal]
    config: { anything: [1, 2] }
defaultProvider: none
leaderElection: { enabled: false, namespace: berth, leaseDuration: 30s, renewDeadline: 20s, retryPeriod: 5s }
sweepInterval: 1h
drift: observe
deleteOrphans: true
allocateNodePorts: false
concurrentSyncs: 3
listen: 127.0.0.1:9000
logLevel: debug
`;

describe('a configuration file', () => {
  it('may say everything; what it says is read as flags are', () => {
    expect(parseConfig(EVERYTHING.replace('clusterId: 1234', 'clusterId: "1234"'), 'berth.yaml')).toEqual({
      kubeconfig: '/etc/kubeconfig',
      context: 'production',
      clusterId: '1234',
      clusterName: 'tokyo',
      providers: {
        local: null,
        mine: {
          provider: '@example/provider',
          classes: ['example.com/internal'],
          config: { anything: [1, 2] },
        },
      },
      defaultProvider: 'none',
      leaderElection: {
        enabled: false,
        namespace: 'berth',
        leaseDuration: 30_000,
        renewDeadline: 20_000,
        retryPeriod: 5_000,
      },
      sweepInterval: 3_600_000,
      drift: 'observe',
      deleteOrphans: true,
      allocateNodePorts: false,
      concurrentSyncs: 3,
      listen: { host: '127.0.0.1', port: 9000 },
      logLevel: 'debug',
    });
  });

  it('is shown in the help as it really is, with every key', () => {
    const shown = parseConfig(EXAMPLE, 'berth.yaml');
    expect(Object.keys(shown).toSorted()).toEqual(KEYS.toSorted());
    expect(shown).toMatchObject({ sweepInterval: 600_000, listen: { host: '127.0.0.1', port: 8080 } });
  });

  it('may say nothing', () => {
    expect(parseConfig('', 'berth.yaml')).toEqual({});
    expect(parseConfig('# later\n', 'berth.yaml')).toEqual({});
  });

  it('may list providers in place of describing them', () => {
    expect(parseConfig('providers: [local, ./mine]', 'berth.yaml')).toEqual({
      providers: { local: {}, './mine': {} },
    });
  });
});

describe('what is wrong in a configuration file is told in one line: where, what is expected, what it has', () => {
  it.each([
    ['sweepInterval: 10', 'sweepInterval: expected a duration such as 90s, 10m or 1h, at least 1s, got 10'],
    [
      'sweepInterval: 500ms',
      'sweepInterval: expected a duration such as 90s, 10m or 1h, at least 1s, got "500ms"',
    ],
    ['drift: repair', 'drift: expected one of enforce, observe, got "repair"'],
    ['deleteOrphans: yes please', 'deleteOrphans: expected true or false, got "yes please"'],
    ['concurrentSyncs: 0', 'concurrentSyncs: expected a whole number from 1 to 1000, got 0'],
    ['clusterId:', 'clusterId: expected text, got null'],
    ['logLevel: loud', 'logLevel: expected one of debug, info, warn, error, got "loud"'],
    [
      'listen: 8080',
      'listen: expected HOST:PORT such as 127.0.0.1:8080 or [::1]:8080 (port 0 takes any free one), got 8080',
    ],
    ['leaderElection: true', 'leaderElection: expected a map of settings, got true'],
    ['leaderElection: { enabled: maybe }', 'leaderElection.enabled: expected true or false, got "maybe"'],
    [
      'leaderElection: { renewDeadline: 20s }',
      'leaderElection.renewDeadline: expected less than leaseDuration (15s), got 20s',
    ],
    [
      'leaderElection: { retryPeriod: 8s }',
      'leaderElection.retryPeriod: expected at most half of renewDeadline (10s), got 8s',
    ],
    ['providers: local', 'providers: expected a map of settings, got "local"'],
    ['providers: [1]', 'providers[0]: expected text, got 1'],
    ['providers: [local, local]', 'providers: "local" is listed twice; once is enough'],
    ['providers: {}', 'providers: expected at least one provider such as local, got none'],
    ['providers: { local: here }', 'providers.local: expected a map of settings, got "here"'],
    ['providers: { local: { classes: a/b } }', 'providers.local.classes: expected a list, got "a/b"'],
    ['providers: { local: { classes: [1] } }', 'providers.local.classes[0]: expected text, got 1'],
    ['sweepIntervall: 10m', 'sweepIntervall: unknown key; did you mean sweepInterval?'],
    ['defaultprovider: local', 'defaultprovider: unknown key; did you mean defaultProvider?'],
    ['leaderElection: { namspace: x }', 'leaderElection.namspace: unknown key; did you mean namespace?'],
    [
      'providers: { local: { pools: [] } }',
      'providers.local.pools: unknown key; known here: provider, classes, config',
    ],
    ['[1, 2]', 'the file: expected a map of settings, got [1,2]'],
  ])('%s', (source, problem) => {
    const [line = '', ...others] = problemsOf(() => parseConfig(source, 'berth.yaml'));
    expect(others).toEqual([]);
    expect(line.replace(/^berth\.yaml(:1)?: /, '')).toBe(problem);
  });

  it('all of it at once, from top to bottom, each with its line', () => {
    const source = 'drift: x\nproviders:\n  local:\n    clases: []\nunknwn: 1\nconcurrentSyncs: many\n';
    expect(
      problemsOf(() => parseConfig(source, 'f.yaml')).map((line) => line.split(' ', 2).join(' ')),
    ).toEqual([
      'f.yaml:1: drift:',
      'f.yaml:4: providers.local.clases:',
      'f.yaml:5: unknwn:',
      'f.yaml:6: concurrentSyncs:',
    ]);
  });

  it.each([
    ['a: [', 1],
    ['drift: enforce\ndrift: observe', 2],
    ['a: 1\n\tb: 2', 2],
  ])('also that %j is no YAML', (source, line) => {
    expect(problemsOf(() => parseConfig(source, 'berth.yaml'))[0]).toMatch(
      new RegExp(`^berth\\.yaml:${line}: this is not valid YAML: `),
    );
  });
});

describe('the paths of a configuration file', () => {
  const directory = mkdtempSync(join(tmpdir(), 'berth-config-'));
  afterAll(() => rmSync(directory, { recursive: true }));

  it('count from its own directory; names of packages and absolute paths stay', () => {
    const path = join(directory, 'berth.yaml');
    writeFileSync(
      path,
      'kubeconfig: kc\nproviders: { ./one: {}, two: { provider: ../two }, three: { provider: "@x/three" }, four: { provider: /abs } }',
    );
    expect(readConfigFile(path)).toEqual({
      kubeconfig: join(directory, 'kc'),
      providers: {
        './one': { provider: join(directory, 'one') },
        two: { provider: join(directory, '..', 'two') },
        three: { provider: '@x/three' },
        four: { provider: '/abs' },
      },
    });
  });

  it('a file that is not there is named, with where the name came from', () => {
    const [line] = problemsOf(() => readConfigFile(join(directory, 'nope.yaml')));
    expect(line).toContain('nope.yaml');
    expect(line).toContain('--config');
  });
});
