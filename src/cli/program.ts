import { Command, CommanderError, Option } from 'commander';
import { EXAMPLE, KINDS } from './config-file.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import { finish, logLevelOption, option, outputOption, required, withCommon } from './options.ts';
import type { Flags } from './settings.ts';
import type { Terminal } from './terminal.ts';
import { text, wholeNumber } from './values.ts';

/** One command line, parsed: which command, and what it was told. */
export type CommandLine =
  | { readonly name: 'run' | 'status'; readonly flags: Flags }
  | { readonly name: 'plan'; readonly flags: Flags & { readonly detailedExitcode?: boolean } }
  | {
      readonly name: 'explain';
      readonly flags: Flags & { readonly namespace?: string };
      readonly service: string;
    }
  | { readonly name: 'sweep'; readonly flags: Flags & { readonly delete?: boolean } }
  | {
      readonly name: 'uninstall';
      readonly flags: Flags & { readonly delete?: boolean; readonly dryRun?: boolean };
    }
  | { readonly name: 'speaker'; readonly flags: Flags & SpeakerFlags }
  | { readonly name: 'doctor'; readonly flags: Flags & DoctorFlags }
  | { readonly name: 'iam-policy'; readonly flags: Flags }
  | {
      readonly name: 'demo';
      readonly flags: Pick<Flags, 'output' | 'logLevel'> & {
        readonly once?: boolean;
        readonly port?: number;
      };
    };

/** What only `berth doctor` is told. */
export interface DoctorFlags {
  readonly node?: string;
  readonly local?: boolean;
}

/** What only `berth speaker` is told. */
export interface SpeakerFlags {
  readonly node?: string;
  readonly secretFile?: string;
  readonly excludeInterface?: readonly string[];
  readonly ignoreExcludeLb?: boolean;
}

/**
 * Parses a command line. What is wrong with it is told on standard error in one line, help goes to standard output;
 * both end in an exit code instead of a command.
 */
export function parseCommandLine(
  argv: readonly string[],
  { terminal, version }: { readonly terminal: Terminal; readonly version: string },
): CommandLine | { readonly exitCode: ExitCode } {
  let parsed: CommandLine | undefined;
  const program = buildProgram(version, terminal, (line) => (parsed = line));
  try {
    program.parse([...argv], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return { exitCode: error.exitCode === 0 ? EXIT.ok : EXIT.usage };
  }
  return parsed ?? { exitCode: EXIT.usage };
}

type Take = (line: CommandLine) => void;

function buildProgram(version: string, { out, err }: Terminal, take: Take): Command {
  const program = new Command('berth');
  // Before the commands are added, because they inherit it.
  program
    .exitOverride()
    .configureOutput({
      writeOut: (help) => out.write(help),
      writeErr: (help) => err.write(help),
      getOutHelpWidth: () => out.columns,
      getErrHelpWidth: () => err.columns,
      outputError: (message, write) => write(oneLine(message)),
    })
    .description('Gives every Service of type LoadBalancer an address that works.')
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command')
    .allowExcessArguments(false);
  addRun(program, take);
  addPlan(program, take);
  addExplain(program, take);
  addStatus(program, take);
  addDoctor(program, take);
  addSweep(program, take);
  addUninstall(program, take);
  addSpeaker(program, take);
  addPolicy(program, take);
  addDemo(program, take);
  return finish(program, [
    'berth demo',
    'berth run --kubeconfig ~/.kube/config',
    'berth explain default/web',
  ]);
}

/** commander puts its suggestion on a second line. */
function oneLine(message: string): string {
  const text = message
    .trim()
    .replace(/^error: /, '')
    .replaceAll(/\s*\n\s*/g, ' ');
  return `berth: ${text}${/[.)?]$/.test(text) ? '' : '.'} See berth --help.\n`;
}

function addRun(program: Command, take: Take): void {
  const command = program
    .command('run')
    .description('Serve Services until told to stop (SIGTERM or SIGINT).');
  withCommon(command)
    .addOption(
      option('--sweep-interval <duration>', 'how often everything is read anew (10m)', KINDS.sweepInterval),
    )
    .addOption(
      option(
        '--drift <reaction>',
        'enforce: plan back what somebody changed by hand; observe: only report it (enforce)',
        KINDS.drift,
      ),
    )
    .addOption(
      option('--concurrent-syncs <n>', 'Services worked on at the same time (10)', KINDS.concurrentSyncs),
    )
    .addOption(
      option(
        '--listen <host:port>',
        'where /healthz, /readyz and /metrics are (in a pod 0.0.0.0:8080, else any free port of 127.0.0.1)',
        KINDS.listen,
      ),
    );
  for (const [name, description] of SWITCHES) addSwitch(command, name, description);
  const example = EXAMPLE.trimEnd().replaceAll(/^/gm, '  ');
  command.addHelpText('after', `\nConfiguration file (all keys are optional):\n${example}`);
  finish(command, [
    'berth run --provider local --no-leader-elect',
    'berth run --config berth.yaml --log-level debug',
  ]).action((flags: Flags) => take({ name: 'run', flags }));
}

/** Each can be turned on and off, so that a flag wins over a file either way; help shows the one that differs. */
const SWITCHES: readonly (readonly [string, string])[] = [
  ['--no-leader-elect', 'act without holding the Lease; only where no other process of Berth runs'],
  ['--delete-orphans', 'delete load balancers of ours that belong to no Service, after an hour'],
  ['--no-allocate-node-ports', 'never turn allocateLoadBalancerNodePorts on; report NodePortMissing instead'],
];

function addSwitch(command: Command, name: string, description: string): void {
  const positive = name.replace('--no-', '--');
  const negative = positive.replace('--', '--no-');
  // In this order commander leaves the value open when neither is given.
  for (const flag of [positive, negative]) {
    const added = new Option(flag, flag === name ? description : `the opposite of ${name}`);
    command.addOption(flag === name ? added : added.hideHelp());
  }
}

function addPlan(program: Command, take: Take): void {
  const command = program
    .command('plan')
    .description('Print the steps that a controller would take now; asks the leader where it is reached.');
  withCommon(command).option('--detailed-exitcode', 'exit with 2 when there are steps to take');
  finish(command, ['berth plan', 'berth plan --output json | jq .counts']).action((flags: Flags) =>
    take({ name: 'plan', flags }),
  );
}

function addExplain(program: Command, take: Take): void {
  const command = program
    .command('explain')
    .description('Say why a Service is as it is, and what to do about it.')
    .argument('<service>', 'NAMESPACE/NAME, or NAME');
  withCommon(command).addOption(
    option('-n, --namespace <namespace>', 'of a Service given as NAME (that of the kubeconfig)', text),
  );
  finish(command, ['berth explain default/web', 'berth explain web -n default']).action(
    (service: string, flags: Flags) => take({ name: 'explain', flags, service }),
  );
}

function addStatus(program: Command, take: Take): void {
  const command = program.command('status').description('List the Services that Berth serves.');
  finish(withCommon(command), ['berth status', 'berth status --output json']).action((flags: Flags) =>
    take({ name: 'status', flags }),
  );
}

function addDoctor(program: Command, take: Take): void {
  const command = program
    .command('doctor')
    .description(
      'Look for what is wrong: API server, Lease, Services, and what the providers know of. Read-only.',
    );
  withCommon(command)
    .addOption(
      option('--node <name>', 'this machine is that node: look at its network, too (NODE_NAME)', text),
    )
    .option('--local', 'the same for a machine whose host name is the name of its Node');
  finish(command, ['berth doctor --provider metal', 'berth doctor --provider metal --node node-1']).action(
    (flags: Flags & DoctorFlags) => take({ name: 'doctor', flags }),
  );
}

function addSweep(program: Command, take: Take): void {
  const command = program
    .command('sweep')
    .description('Report what was changed by hand, and load balancers of ours that belong to no Service.');
  withCommon(command).option('--delete', 'delete the latter; only while no controller runs');
  finish(command, ['berth sweep --provider aws', 'berth sweep --provider aws --delete']).action(
    (flags: Flags) => take({ name: 'sweep', flags }),
  );
}

function addUninstall(program: Command, take: Take): void {
  const command = program
    .command('uninstall')
    .description(
      'Take our finalizer and condition from all Services, before Berth is removed. The load balancers stay.',
    );
  withCommon(command)
    .option('--delete', 'delete the load balancers, too')
    .option('--dry-run', 'print what would be done, and do nothing');
  finish(command, ['berth uninstall --dry-run', 'berth uninstall --provider aws --delete']).action(
    (flags: Flags) => take({ name: 'uninstall', flags }),
  );
}

function addSpeaker(program: Command, take: Take): void {
  const command = program
    .command('speaker')
    .description('Answer ARP and NDP on this node for the addresses that it holds, until told to stop.');
  withCommon(command)
    .addOption(option('--node <name>', "name of this node's Node object (NODE_NAME)", text))
    .addOption(
      option(
        '--secret-file <file>',
        "the speakers' shared key (the Secret berth-speaker of the cluster)",
        text,
      ),
    )
    .addOption(
      option(
        '--exclude-interface <regex>',
        'an interface never to answer on; may be repeated, replaces the defaults (container links, tunnels)',
        text,
      ).argParser((value: string, before: readonly string[] | undefined) => [
        ...(before ?? []),
        required(text, value),
      ]),
    )
    .option('--ignore-exclude-lb', 'announce also from nodes that are excluded from load balancers by label')
    .addOption(
      option(
        '--listen <host:port>',
        'where /healthz, /readyz, /metrics and /api/announcements are (any free port of 127.0.0.1)',
        KINDS.listen,
      ),
    );
  finish(command, ['berth speaker --node node-1 --kubeconfig /etc/berth/kubeconfig']).action(
    (flags: Flags & SpeakerFlags) =>
      // Unless told otherwise: the provider that has one.
      take({ name: 'speaker', flags: { provider: ['metal'], listen: LOOPBACK, ...flags } }),
  );
}

/** A speaker is in the host's network, where a port that everybody reaches is nobody's wish by default. */
const LOOPBACK = { host: '127.0.0.1', port: 0 };

function addDemo(program: Command, take: Take): void {
  const command = program
    .command('demo')
    .description(
      'Show Berth at work on this machine: a cluster in this process, real sockets, nothing to install.',
    )
    .option('--once', 'end after the story; exit with 1 when one of its checks did not hold')
    .addOption(
      option('--port <port>', 'of the API server, on 127.0.0.1 (any free one)', wholeNumber(0, 65_535)),
    )
    .addOption(outputOption())
    .addOption(logLevelOption());
  finish(command, ['berth demo', 'berth demo --once']).action((flags: Flags) =>
    take({ name: 'demo', flags }),
  );
}

function addPolicy(program: Command, take: Take): void {
  const command = program
    .command('iam-policy')
    .description('Print the smallest IAM policy for what the provider aws is configured to do.');
  withCommon(command);
  finish(command, ['berth iam-policy --cluster-id ID > policy.json']).action((flags: Flags) =>
    take({ name: 'iam-policy', flags: { provider: ['aws'], ...flags } }),
  );
}
