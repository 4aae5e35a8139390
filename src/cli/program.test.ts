import { describe, expect, it } from 'vitest';
import { exitCodeHelp } from './exit-codes.ts';
import { parseCommandLine } from './program.ts';
import type { Terminal } from './terminal.ts';

/** A terminal that keeps what is written. */
function recorded(): { readonly terminal: Terminal; readonly out: () => string; readonly err: () => string } {
  let [out, err] = ['', ''];
  return {
    terminal: {
      out: { write: (text) => (out += text), isTTY: false, columns: 120 },
      err: { write: (text) => (err += text), isTTY: false, columns: 120 },
      colour: true,
    },
    out: () => out,
    err: () => err,
  };
}

function parse(line: string): {
  readonly line: ReturnType<typeof parseCommandLine>;
  readonly out: string;
  readonly err: string;
} {
  const { terminal, out, err } = recorded();
  const argv = line === '' ? [] : line.split(' ');
  const parsed = parseCommandLine(argv, { terminal, version: '1.2.3' });
  return { line: parsed, out: out(), err: err() };
}

describe('the command line', () => {
  it.each([
    ['run', { name: 'run', flags: {} }],
    [
      'run --provider local --provider ./mine --no-leader-elect --sweep-interval 90s --drift observe',
      {
        name: 'run',
        flags: { provider: ['local', './mine'], leaderElect: false, sweepInterval: 90_000, drift: 'observe' },
      },
    ],
    [
      'run --leader-elect --delete-orphans --no-allocate-node-ports --concurrent-syncs 3 --listen [::1]:0',
      {
        name: 'run',
        flags: {
          leaderElect: true,
          deleteOrphans: true,
          allocateNodePorts: false,
          concurrentSyncs: 3,
          listen: { host: '::1', port: 0 },
        },
      },
    ],
    ['run --no-delete-orphans', { name: 'run', flags: { deleteOrphans: false } }],
    [
      'run --kubeconfig k --context c --default-provider none --cluster-id i --cluster-name n --config f --log-level debug',
      {
        name: 'run',
        flags: {
          kubeconfig: 'k',
          context: 'c',
          defaultProvider: 'none',
          clusterId: 'i',
          clusterName: 'n',
          config: 'f',
          logLevel: 'debug',
        },
      },
    ],
    ['plan -o json --detailed-exitcode', { name: 'plan', flags: { output: 'json', detailedExitcode: true } }],
    ['explain default/web', { name: 'explain', service: 'default/web', flags: {} }],
    ['explain web -n default', { name: 'explain', service: 'web', flags: { namespace: 'default' } }],
    ['status --leader-elect-namespace x', { name: 'status', flags: { leaderElectNamespace: 'x' } }],
    ['sweep --delete', { name: 'sweep', flags: { delete: true } }],
    ['uninstall --delete --dry-run', { name: 'uninstall', flags: { delete: true, dryRun: true } }],
    ['demo --once --port 8000', { name: 'demo', flags: { once: true, port: 8000 } }],
  ])('berth %s', (line, expected) => {
    expect(parse(line)).toEqual({ line: expected, out: '', err: '' });
  });
});

describe('a wrong command line ends with exit code 2 and one line that says what is wrong', () => {
  it.each([
    ['plann', "unknown command 'plann' (Did you mean plan?)"],
    ['plan --providr x', "unknown option '--providr' (Did you mean --provider?)"],
    ['plan extra', 'too many arguments'],
    ['explain', "missing required argument 'service'"],
    ['run --sweep-interval 10', "'10' is invalid. Expected a duration such as 90s, 10m or 1h, at least 1s."],
    ['run --drift x', "'x' is invalid. Expected one of enforce, observe."],
    ['run --listen 8080', "'8080' is invalid. Expected HOST:PORT such as 127.0.0.1:8080"],
    ['run --concurrent-syncs 0', 'Expected a whole number from 1 to 1000.'],
    ['run --log-level loud', 'Expected one of debug, info, warn, error.'],
    ['plan --output xml', 'Expected one of table, json.'],
    ['demo --port 70000', 'Expected a whole number from 0 to 65535.'],
    ['plan --kubeconfig', 'argument missing'],
  ])('berth %s', (line, problem) => {
    const { line: parsed, err, out } = parse(line);
    expect(parsed).toEqual({ exitCode: 2 });
    expect(err).toContain(problem);
    expect(err).toMatch(/^berth: [^\n]+\n$/);
    expect(out).toBe('');
  });

  it('berth alone prints the help, and is not enough', () => {
    const { line, err } = parse('');
    expect(line).toEqual({ exitCode: 2 });
    expect(err).toContain('Usage: berth');
  });
});

describe('help', () => {
  it.each(['--help', 'run --help', 'help run', 'plan -h', 'explain --help', 'status --help'])(
    'berth %s ends well, on standard output, with the exit codes and examples at its end',
    (line) => {
      const { line: parsed, out, err } = parse(line);
      expect(parsed).toEqual({ exitCode: 0 });
      expect(err).toBe('');
      expect(out).toContain(exitCodeHelp());
      expect(out.trimEnd().split('\n').at(-1)).toMatch(/^ {2}berth /);
    },
  );

  it('names every option that the configuration file has a key for', () => {
    const { out } = parse('run --help');
    for (const name of [
      'provider',
      'sweep-interval',
      'drift',
      'no-leader-elect',
      'listen',
      'config',
      'output',
    ])
      expect(out).toContain(`--${name}`);
    expect(out).not.toContain('the opposite of');
  });

  it('knows its version', () => {
    expect(parse('--version').out).toBe('1.2.3\n');
  });
});

it('the table of exit codes names each code once', () => {
  const codes = [...exitCodeHelp().matchAll(/^ {2}(\d+)/gm)].map(([, code]) => Number(code));
  expect(codes).toEqual([0, 1, 2, 3, 4, 5, 6, 130]);
});
