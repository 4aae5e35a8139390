import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { StatusEntry } from '../../controller/inspect.ts';
import { EXIT } from '../exit-codes.ts';
import type { Terminal } from '../terminal.ts';
import { showLive } from './live.ts';
import { tellerFor } from './teller.ts';
import { ask, askRepeatedly, isFree, isRefused, startLoad } from './traffic.ts';

function recorded(isTTY = false): Terminal & { written: () => string } {
  let written = '';
  const stream = { write: (text: string) => (written += text), isTTY, columns: 90 };
  return { out: stream, err: stream, colour: false, written: () => written };
}

function anEntry(overrides: Partial<StatusEntry> = {}): StatusEntry {
  return {
    key: 'default/web',
    provider: 'local',
    announced: false,
    addresses: ['127.80.0.1'],
    ports: ['8080/TCP'],
    state: 'True',
    reason: 'Provisioned',
    message: 'fine',
    ...overrides,
  };
}

describe('the story', () => {
  it('is told check by check, and ends at the one that does not hold', () => {
    const screen = recorded();
    const teller = tellerFor(screen, false);
    teller.chapter('First');
    teller.check(true, 'one holds');
    teller.note('by the way');
    expect(() => teller.check(false, 'two holds')).toThrow(
      expect.objectContaining({ message: 'the demo failed at "First": two holds', exitCode: EXIT.failed }),
    );
    expect(teller.held).toBe(1);
    expect(screen.written()).toBe('\n1. First\n   ✓ one holds\n     by the way\n   ✗ two holds\n');
  });

  it('is one JSON object a line for programs', () => {
    const screen = recorded();
    const teller = tellerFor(screen, true);
    teller.chapter('First');
    teller.check(true, 'one holds');
    expect(
      screen
        .written()
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown),
    ).toEqual([{ chapter: 'First' }, { chapter: 'First', check: 'one holds', holds: true }]);
  });
});

describe('the live view', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  async function shown(
    screen: Terminal,
    json: boolean,
    ...moments: readonly (readonly StatusEntry[])[]
  ): Promise<void> {
    const stop = new AbortController();
    let now = 0;
    const done = showLive({ terminal: screen, json, signal: stop.signal, status: () => moments[now] ?? [] });
    for (now = 1; now < moments.length; now++) await vi.advanceTimersByTimeAsync(500);
    stop.abort();
    await done;
  }

  it('draws a table over the one before on a terminal, only when something changed, minding broken lines', async () => {
    const screen = recorded(true);
    const long = anEntry({ state: 'False', reason: 'NoPool', message: 'x'.repeat(100), addresses: [] });
    await shown(screen, false, [long], [long], [anEntry()]);
    const [first, second, ...more] = screen.written().split('\u001B[J');
    expect(more).toEqual([]);
    // Two rows of the table, one of space, two of the long message, one of space, one of counts.
    expect(first?.endsWith('\u001B[7A')).toBe(true);
    expect(second).toContain('Status: 1 Service, 1 provisioned');
  });

  it('prints a line for each change on a pipe', async () => {
    const screen = recorded();
    const late = anEntry({ key: 'default/late', state: 'False', reason: 'AddressInUse', addresses: [] });
    await shown(
      screen,
      false,
      [anEntry(), late],
      [anEntry(), late],
      [{ ...late, addresses: ['127.80.0.1'] }],
    );
    expect(screen.written().split('\n')).toEqual([
      'default/web 127.80.0.1 8080/TCP Provisioned',
      'default/late <none> 8080/TCP AddressInUse',
      'default/web is gone',
      'default/late 127.80.0.1 8080/TCP AddressInUse',
      '',
    ]);
  });

  it('prints a JSON object for each change when asked to, also on a terminal', async () => {
    const screen = recorded(true);
    await shown(screen, true, [anEntry()], []);
    expect(
      screen
        .written()
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown),
    ).toEqual([anEntry(), { key: 'default/web', gone: true }]);
  });
});

describe('traffic', () => {
  const { signal } = new AbortController();

  async function aBackend(status = 200): Promise<{ url: string; port: number; close: () => Promise<void> }> {
    const server = createServer((_request, response) =>
      response.writeHead(status, { 'x-backend': 'b-1', 'x-node': 'n-1' }).end('hello'),
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    return {
      url: `http://127.0.0.1:${port}/`,
      port,
      close: () => new Promise((resolve) => server.close(() => resolve())),
    };
  }

  it('knows who answered', async () => {
    const backend = await aBackend();
    expect(await ask(backend.url, signal)).toEqual({ backend: 'b-1', node: 'n-1' });
    expect(await askRepeatedly(backend.url, { count: 3, signal })).toHaveLength(3);
    await backend.close();
  });

  it('counts what fails: an answer that is not good, and no answer at all', async () => {
    const backend = await aBackend(503);
    await expect(ask(backend.url, signal)).rejects.toThrow('503');
    const load = startLoad(backend.url, { clients: 2, signal });
    await vi.waitUntil(() => load.failures.length >= 4);
    await load.stop();
    const { length } = load.failures;
    expect(load.answered).toBe(0);
    await backend.close();
    await expect(ask(backend.url, signal)).rejects.toThrow('ECONNREFUSED');
    expect(load.failures).toHaveLength(length);
  });

  it('counts good answers until it is stopped', async () => {
    const backend = await aBackend();
    const load = startLoad(backend.url, { clients: 2, signal });
    await vi.waitUntil(() => load.answered >= 4);
    await load.stop();
    expect(load.failures).toEqual([]);
    await backend.close();
  });

  it('knows an open port from a closed one', async () => {
    const { port, close } = await aBackend();
    expect(await isRefused('127.0.0.1', port)).toBe(false);
    expect(await isFree('127.0.0.1', port)).toBe(false);
    await close();
    expect(await isRefused('127.0.0.1', port)).toBe(true);
    expect(await isFree('127.0.0.1', port)).toBe(true);
  });
});
