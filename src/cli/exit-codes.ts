/** How a command ends: the one table that `--help` prints and that scripts are written against. */
export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  environment: 3,
  apiServer: 4,
  provider: 5,
  leadershipLost: 6,
  interrupted: 130,
} as const;

/** One of the documented exit codes. */
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** What `plan --detailed-exitcode` ends with when there are changes; the convention of other planning tools. */
export const PLAN_HAS_CHANGES = EXIT.usage;

const MEANINGS: Readonly<Record<keyof typeof EXIT, string>> = {
  ok: 'done; for run, speaker and demo also: stopped by SIGTERM or SIGINT',
  failed:
    'something failed that has no code of its own, not everything could be done, or a check of doctor failed',
  usage: 'wrong option, argument or configuration (and: plan --detailed-exitcode found changes)',
  environment:
    'this machine is not ready: Node version, kubeconfig, port in use, namespace of the Lease, CAP_NET_RAW',
  apiServer: 'the API server cannot be reached, or refuses',
  provider: 'a provider cannot be loaded',
  leadershipLost: 'another process took the Lease over',
  interrupted: 'interrupted before the answer was there',
};

/** The table as lines of text, for `--help`. */
export function exitCodeHelp(): string {
  const lines = (Object.keys(EXIT) as (keyof typeof EXIT)[]).map(
    (name) => `  ${String(EXIT[name]).padEnd(5)}${MEANINGS[name]}`,
  );
  return ['Exit codes:', ...lines].join('\n');
}
