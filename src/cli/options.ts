/** What the commands of the command line have in common: options, and the end of their help. */
import { InvalidArgumentError, Option, type Command } from 'commander';
import { KINDS } from './config-file.ts';
import { exitCodeHelp } from './exit-codes.ts';
import { oneOf, text, type ValueKind } from './values.ts';

/** What every command takes that looks at a cluster. */
export function withCommon(command: Command): Command {
  return command
    .addOption(
      option(
        '--kubeconfig <file>',
        "the kubeconfig (KUBECONFIG, ~/.kube/config, the pod's ServiceAccount)",
        text,
      ),
    )
    .addOption(option('--context <name>', 'a context of the kubeconfig other than its current one', text))
    .addOption(
      option(
        '--provider <provider>',
        'name, path or npm package of a provider; may be repeated (local)',
        text,
      ).argParser((value: string, before: readonly string[] | undefined) => [
        ...(before ?? []),
        required(text, value),
      ]),
    )
    .addOption(
      option(
        '--default-provider <name>',
        'serves Services without a class; none leaves them to others',
        text,
      ),
    )
    .addOption(option('--cluster-id <id>', "the cluster's identity (UID of the namespace kube-system)", text))
    .addOption(option('--cluster-name <name>', "the cluster's name, for people (kubernetes)", text))
    .addOption(
      option(
        '--leader-elect-namespace <namespace>',
        "where the Lease is (the pod's, else berth-system)",
        text,
      ),
    )
    .addOption(option('--aws-vpc-id <id>', "aws: the VPC (that of the nodes' instances)", text))
    .addOption(
      option(
        '--cluster-policy-health-check <kind>',
        'aws: how nodes are probed with policy Cluster; kube-proxy asks its port 10256, so that nodes drain (tcp)',
        oneOf(['tcp', 'kube-proxy']),
      ),
    )
    .addOption(option('--config <file>', 'YAML with settings of these names; a flag wins over it', text))
    .addOption(outputOption())
    .addOption(logLevelOption());
}

/** `--output`. */
export function outputOption(): Option {
  return option('-o, --output <form>', 'table or json, on standard output (table)', oneOf(['table', 'json']));
}

/** `--log-level`. */
export function logLevelOption(): Option {
  return option('--log-level <level>', 'debug, info, warn or error, on standard error', KINDS.logLevel);
}

/** An option whose value is parsed as it is read; what is wrong with it is told with what was expected. */
export function option<T>(flags: string, description: string, kind: ValueKind<T>): Option {
  return new Option(flags, description).argParser((value: string) => required(kind, value));
}

/** The value of an option. @throws InvalidArgumentError when it is not of the kind. */
export function required<T>(kind: ValueKind<T>, value: string): T {
  const parsed = kind.parse(value);
  if (parsed === undefined) throw new InvalidArgumentError(`Expected ${kind.expected}.`);
  return parsed;
}

/** Ends the making of a command: no arguments too many, and exit codes and examples in its help. */
export function finish(command: Command, lines: readonly string[]): Command {
  return command
    .allowExcessArguments(false)
    .addHelpText('after', `\n${exitCodeHelp()}\n\n${examples(lines)}`);
}

function examples(lines: readonly string[]): string {
  return `Examples:\n${lines.map((line) => `  ${line}`).join('\n')}`;
}
