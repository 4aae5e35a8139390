import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { watchfulSignal } from './watchful-signal.ts';

const lost = new Error('lost');

describe('watchfulSignal', () => {
  it('is aborted at the moment somebody looks, for good, and tells those who listen', () => {
    let gone = false;
    const controller = new AbortController();
    const signal = watchfulSignal(controller, () => (gone ? lost : undefined));
    const heard: unknown[] = [];
    signal.addEventListener('abort', () => heard.push(signal.reason));
    signal.throwIfAborted();
    expect(signal.aborted).toBe(false);
    gone = true;
    expect(heard).toEqual([]);
    expect(signal.aborted).toBe(true);
    expect(heard).toEqual([lost]);
    gone = false;
    expect(signal.aborted).toBe(true);
    expect(() => signal.throwIfAborted()).toThrow(lost);
    expect(heard).toEqual([lost]);
  });

  it('is aborted by its controller as any other signal', () => {
    const controller = new AbortController();
    const signal = watchfulSignal(controller, () => undefined);
    controller.abort(lost);
    expect(signal.aborted).toBe(true);
    expect(() => signal.throwIfAborted()).toThrow(lost);
  });

  describe('keeps a call from being begun', () => {
    let requests = 0;
    const server = createServer((_request, response) => {
      requests += 1;
      response.end('ok');
    });
    let url = '';
    beforeEach(async () => {
      requests = 0;
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    });
    afterEach(async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    });

    const calls: Readonly<Record<string, (signal: AbortSignal) => Promise<unknown>>> = {
      fetch: (signal) => fetch(url, { signal }),
      'http.request': (signal) =>
        new Promise((resolve, reject) => {
          const call = request(url, { signal }, (response) => resolve(response.resume()));
          call.on('error', reject);
          call.end();
        }),
    };

    it.each(Object.keys(calls))('%s', async (name) => {
      let gone = false;
      const signal = watchfulSignal(new AbortController(), () => (gone ? lost : undefined));
      await calls[name]!(signal);
      expect(requests).toBe(1);
      gone = true;
      await expect(calls[name]!(signal)).rejects.toThrow(/lost|aborted/);
      expect(requests).toBe(1);
    });
  });
});
