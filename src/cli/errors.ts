import { isBerthError } from '../model/errors.ts';
import { isApiError, type ApiErrorCode } from '../kube/index.ts';
import { ProviderLoadError } from '../provider/registry.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';

/** Something is wrong with what the person typed or configured. Each problem is one line that ends with what to do. */
export class UsageError extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
    this.name = 'UsageError';
    this.problems = problems;
  }
}

/** A command that was carried out and has nothing more to say than that it failed; its output is written already. */
export class CommandFailed extends Error {
  readonly exitCode: ExitCode;

  constructor(message: string, exitCode: ExitCode = EXIT.failed) {
    super(message);
    this.name = 'CommandFailed';
    this.exitCode = exitCode;
  }
}

/** What a person sees of an error that ends the process: lines without a stack trace, and the exit code. */
export interface Verdict {
  readonly lines: readonly string[];
  readonly exitCode: ExitCode;
}

/** What to do about a failing API server, for somebody who ran one command (a controller would try again by itself). */
const API_REMEDIES: Partial<Record<ApiErrorCode, string>> = {
  ApiUnreachable: 'Check that the API server runs and that the kubeconfig names its address',
  ApiUnauthorized: "Renew the kubeconfig's credentials",
  ApiForbidden: 'Ask for this permission, or use a kubeconfig that has it',
  ApiThrottled: 'The API server is busy; run the command again in a while',
  ApiTimeout: 'The API server is busy or far away; run the command again in a while',
  ApiUnavailable: 'Look at the health of the API server, then run the command again',
  ApiBadAnswer: "Check that the kubeconfig names a Kubernetes API server, and no proxy's login page",
  ApiConflict: 'Somebody changed the object meanwhile; run the command again',
};

/** What to do about an address that cannot be listened on. */
const LISTEN_REMEDIES: Readonly<Record<string, string>> = {
  EADDRINUSE: 'is in use: stop what listens there, or choose another port (--listen HOST:PORT, --port N)',
  EACCES: 'may not be listened on: choose a port above 1023, or grant CAP_NET_BIND_SERVICE',
  EADDRNOTAVAIL: 'is no address of this machine: choose another one (--listen HOST:PORT)',
  ENOTFOUND: 'is no known host name: choose another one (--listen HOST:PORT)',
};

/** Turns whatever was thrown into lines and an exit code. Classified by type and code, never by message text. */
export function verdictOf(error: unknown): Verdict {
  if (error instanceof UsageError) return { lines: error.problems, exitCode: EXIT.usage };
  if (error instanceof CommandFailed) return { lines: [error.message], exitCode: error.exitCode };
  if (error instanceof ProviderLoadError) {
    const exitCode = error.code === 'ProviderConfigInvalid' ? EXIT.usage : EXIT.provider;
    return { lines: [error.message], exitCode };
  }
  if (isApiError(error)) {
    const remedy = API_REMEDIES[error.code];
    const line = remedy === undefined ? error.message : withRemedy(error, remedy);
    return { lines: [line], exitCode: EXIT.apiServer };
  }
  if (isBerthError(error))
    return { lines: [error.message], exitCode: ENVIRONMENTAL[error.code] ?? EXIT.failed };
  return (
    listenVerdict(error) ?? {
      lines: [isDefect(error) ? defectText(error) : messageOf(error)],
      exitCode: EXIT.failed,
    }
  );
}

/** Whether the language itself threw it: nobody outside of the program can do anything about it. */
function isDefect(error: unknown): error is Error {
  return [TypeError, ReferenceError, RangeError, SyntaxError].some((kind) => error instanceof kind);
}

/** What happened and where, on one line, so that it can be reported as it stands. */
function defectText(error: Error): string {
  const place = /\n\s+at (.+)/.exec(error.stack ?? '')?.[1];
  const where = place === undefined ? '' : ` at ${place}`;
  return `internal error: ${error.message}${where}. This is a defect of Berth or of a provider: report this line (--log-level debug has more).`;
}

/** Classified errors of ours that are about this machine or its way to the cluster. */
const ENVIRONMENTAL: Readonly<Record<string, ExitCode>> = {
  KubeconfigUnusable: EXIT.environment,
  LeaseNamespaceMissing: EXIT.environment,
  LeaseLost: EXIT.leadershipLost,
  MissingCapability: EXIT.environment,
  HeartbeatUnavailable: EXIT.environment,
  SpeakerMisplaced: EXIT.environment,
};

/** The message with another remedy at its end. */
function withRemedy(error: { readonly message: string; readonly remedy: string }, remedy: string): string {
  const at = error.message.lastIndexOf(error.remedy);
  return `${at < 0 ? error.message : error.message.slice(0, at).trimEnd()} ${remedy}.`;
}

function listenVerdict(error: unknown): Verdict | undefined {
  const { code, syscall, address, port } = error as NodeJS.ErrnoException & {
    address?: string;
    port?: number;
  };
  const remedy = code === undefined ? undefined : LISTEN_REMEDIES[code];
  if (remedy === undefined || (syscall !== 'listen' && syscall !== 'getaddrinfo')) return undefined;
  const where = port === undefined ? (address ?? messageOf(error)) : `${address ?? 'port'}:${port}`;
  return { lines: [`${where} ${remedy}`], exitCode: EXIT.environment };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
