import { createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { ApiError } from '../kube/index.ts';
import { Denied, Transient } from '../model/errors.ts';
import { ProviderLoadError } from '../provider/registry.ts';
import { CommandFailed, UsageError, verdictOf, type Verdict } from './errors.ts';
import { EXIT } from './exit-codes.ts';

const details = { message: 'it is so', remedy: 'Do this' };

async function listenError(host: string, port: number): Promise<unknown> {
  return await new Promise((resolve) => {
    const server = createServer();
    server.once('error', resolve);
    server.listen(port, host, () => server.close(() => resolve(undefined)));
  });
}

describe('an error that ends the process', () => {
  const said = ['it is so. Do this.'];
  it.each<[string, unknown, Verdict]>([
    ['wrong use', new UsageError(['one', 'two']), { exitCode: EXIT.usage, lines: ['one', 'two'] }],
    ['a command that failed', new CommandFailed('no'), { exitCode: EXIT.failed, lines: ['no'] }],
    [
      'a missing kubeconfig',
      new Denied('KubeconfigUnusable', details),
      { exitCode: EXIT.environment, lines: said },
    ],
    [
      'a missing namespace',
      new Denied('LeaseNamespaceMissing', details),
      { exitCode: EXIT.environment, lines: said },
    ],
    ['a lost Lease', new Transient('LeaseLost', details), { exitCode: EXIT.leadershipLost, lines: said }],
    ['a running leader', new Denied('LeaderIsRunning', details), { exitCode: EXIT.failed, lines: said }],
    [
      'a provider that does not load',
      new ProviderLoadError('ProviderNotFound', details),
      { exitCode: EXIT.provider, lines: said },
    ],
    [
      'a configuration that its provider refuses',
      new ProviderLoadError('ProviderConfigInvalid', details),
      { exitCode: EXIT.usage, lines: said },
    ],
    ['anything else', new Error('oh'), { exitCode: EXIT.failed, lines: ['oh'] }],
    ['no error at all', 'oh', { exitCode: EXIT.failed, lines: ['oh'] }],
  ])('%s has its exit code, and lines without a stack trace', (_what, error, verdict) => {
    expect(verdictOf(error)).toEqual(verdict);
  });

  it.each([
    'ApiUnreachable',
    'ApiTimeout',
    'ApiUnavailable',
    'ApiThrottled',
    'ApiForbidden',
    'ApiConflict',
  ] as const)('%s does not promise that Berth tries again: a command does not', (code) => {
    const { lines, exitCode } = verdictOf(new ApiError(code, { what: 'GET /x', message: 'it failed' }));
    expect(exitCode).toBe(EXIT.apiServer);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^GET \/x: it failed\. [A-Z].*\.$/);
    expect(lines[0]).not.toContain('by itself');
  });

  it('a defect says on one line what happened and where, and whom to tell', () => {
    const { lines, exitCode } = verdictOf(new TypeError('x is not a function'));
    expect(exitCode).toBe(EXIT.failed);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(
      /^internal error: x is not a function at .*errors\.test\.ts:\d+:\d+.*report this line/,
    );
  });

  it('an address in use is named, with what to do', async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    const { port } = taken.address() as { port: number };
    const { lines, exitCode } = verdictOf(await listenError('127.0.0.1', port));
    await new Promise((resolve) => taken.close(resolve));
    expect(exitCode).toBe(EXIT.environment);
    expect(lines).toEqual([
      `127.0.0.1:${port} is in use: stop what listens there, or choose another port (--listen HOST:PORT, --port N)`,
    ]);
  });

  it('an address of another machine is named, with what to do', async () => {
    const { lines, exitCode } = verdictOf(await listenError('192.0.2.1', 0));
    expect(exitCode).toBe(EXIT.environment);
    expect(lines[0]).toContain('is no address of this machine');
  });

  it('a refused connection of somebody else is not mistaken for a port in use', () => {
    const error = Object.assign(new Error('connect'), { code: 'EADDRINUSE', syscall: 'connect' });
    expect(verdictOf(error).exitCode).toBe(EXIT.failed);
  });
});
