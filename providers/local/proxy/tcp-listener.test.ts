import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { ListenError } from './listen-error.ts';
import type { ListenerSettings } from './spec.ts';
import { TcpListener, type ListenerContext } from './tcp-listener.ts';
import type { Endpoint } from './targets.ts';
import * as kit from './testkit.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

async function started<T extends { close(): unknown }>(server: Promise<T>): Promise<T> {
  const made = await server;
  cleanups.push(() => made.close());
  return made;
}

type Opened = TcpListener & Endpoint;

async function open(
  settings: ListenerSettings,
  context: ListenerContext = kit.context(),
  address = '127.0.0.1',
): Promise<Opened> {
  const listener = await TcpListener.open({ address, port: 0 }, settings, context);
  cleanups.push(() => listener.close(0));
  return Object.assign(listener, { host: address });
}

function digest(data: Buffer): string {
  return createHash('sha256').update(data).digest('hex');
}

function at(listener: Opened): Endpoint {
  return { host: listener.host, port: listener.port };
}

async function names(listener: Opened, count: number, localAddress?: string): Promise<string[]> {
  const answers: string[] = [];
  for (let i = 0; i < count; i++) answers.push((await kit.talk(at(listener), '', localAddress)).text);
  return answers;
}

describe.each([
  ['with sockets made from raw connections', true],
  ['with sockets made by net.Server', false],
])('a TCP listener %s', (_name, rawAccept) => {
  const context = (): ListenerContext => kit.context({ rawAccept });

  it('passes bytes both ways', async () => {
    const server = await started(kit.echo());
    const listener = await open(kit.settings([server]), context());
    expect(await kit.talk(at(listener), 'ahoy')).toEqual({ text: 'ahoy', ended: 'end' });
  });

  it('passes a FIN of the client on and still delivers what the target sends afterwards', async () => {
    const server = await started(
      kit.serve((socket) => {
        let got = '';
        socket.on('data', (chunk) => (got += chunk.toString()));
        socket.on('end', () => setTimeout(() => socket.end(`after FIN: ${got}`), 30));
      }),
    );
    const listener = await open(kit.settings([server]), context());
    expect(await kit.talk(at(listener), 'question')).toEqual({ text: 'after FIN: question', ended: 'end' });
  });

  it('passes a FIN of the target on and still delivers what the client sends afterwards', async () => {
    const received = Promise.withResolvers<string>();
    const server = await started(
      kit.serve((socket) => {
        let got = '';
        socket.end('bye');
        socket.on('data', (chunk) => (got += chunk.toString()));
        socket.on('end', () => received.resolve(got));
      }),
    );
    const listener = await open(kit.settings([server]), context());
    const client = await kit.dial(at(listener));
    client.resume();
    await new Promise((resolve) => client.once('end', resolve));
    client.end('late words');
    expect(await received.promise).toBe('late words');
  });

  it('carries a megabyte each way unchanged while both sides send at once', async () => {
    const server = await started(kit.echo());
    const listener = await open(kit.settings([server]), context());
    const data = randomBytes(1 << 20);
    const client = await kit.dial(at(listener));
    const answer = kit.outcome(client);
    client.end(data);
    const got = Buffer.from((await answer).text, 'latin1');
    expect(digest(got)).toBe(digest(data));
  });

  it('stops reading from a sender whose receiver does not read, and goes on when it does', async () => {
    let sent = 0;
    const total = 64 << 20;
    const server = await started(
      kit.serve((socket) => {
        const chunk = Buffer.alloc(1 << 16, 'x');
        const fill = (): void => {
          while (sent < total && socket.write(chunk)) sent += chunk.length;
          if (sent >= total) socket.end();
        };
        socket.on('drain', () => {
          sent += chunk.length;
          fill();
        });
        fill();
      }),
    );
    const listener = await open(kit.settings([server]), context());
    const client = await kit.dial(at(listener));
    client.pause();
    let before = -1;
    while (before !== sent) {
      before = sent;
      await kit.pause(150);
    }
    expect(sent).toBeLessThan(total / 2);
    let got = 0;
    client.on('data', (chunk: Buffer) => (got += chunk.length));
    client.resume();
    await new Promise((resolve) => client.once('end', resolve));
    client.end();
    expect(got).toBeGreaterThanOrEqual(total);
  });

  it('passes a reset of the target on to the client', async () => {
    const server = await started(kit.serve((socket) => socket.on('data', () => socket.resetAndDestroy())));
    const listener = await open(kit.settings([server]), context());
    const client = await kit.dial(at(listener));
    const end = kit.outcome(client);
    client.write('x');
    expect((await end).ended).toBe('ECONNRESET');
    await kit.until(() => listener.stats.open === 0);
  });

  it('passes a reset of the client on to the target', async () => {
    const ended = Promise.withResolvers<string>();
    const server = await started(
      kit.serve((socket) => {
        socket.resume();
        socket.on('error', (error: NodeJS.ErrnoException) => ended.resolve(error.code ?? ''));
        socket.write('hello');
      }),
    );
    const listener = await open(kit.settings([server]), context());
    const client = await kit.dial(at(listener));
    await kit.nextData(client);
    client.resetAndDestroy();
    expect(await ended.promise).toBe('ECONNRESET');
  });

  it('resets clients that are outside the source ranges', async () => {
    const server = await started(kit.named('in'));
    const listener = await open(kit.settings([server], { sourceRanges: ['127.1.0.0/16'] }), context());
    expect(await kit.talk(at(listener), '', '127.1.2.3')).toEqual({ text: 'in', ended: 'end' });
    expect((await kit.talk(at(listener), '', '127.2.0.1')).ended).toBe('ECONNRESET');
    expect(listener.stats).toMatchObject({ accepted: 1, refused: 1 });
  });

  it('resets clients beyond the largest number of connections', async () => {
    const server = await started(kit.echo());
    const listener = await open(kit.settings([server], { traffic: { maxConnections: 1 } }), context());
    const first = await kit.dial(at(listener));
    first.write('x');
    await kit.nextData(first);
    expect((await kit.talk(at(listener))).ended).toBe('ECONNRESET');
    first.destroy();
    await kit.until(() => listener.stats.open === 0);
    expect((await kit.talk(at(listener), 'y')).text).toBe('y');
  });

  it('sends the PROXY protocol header with the client and the address that it connected to', async () => {
    const server = await started(kit.echo());
    const listener = await open(kit.settings([server], { traffic: { proxyProtocol: true } }), context());
    const client = await kit.dial(at(listener));
    const { localPort = 0 } = client;
    const answer = kit.outcome(client);
    client.end('data');
    const bytes = Buffer.from((await answer).text, 'latin1');
    expect(bytes.subarray(0, 16).toString('hex')).toBe('0d0a0d0a000d0a515549540a2111000c');
    expect([...bytes.subarray(16, 24)]).toEqual([127, 0, 0, 1, 127, 0, 0, 1]);
    expect([bytes.readUInt16BE(24), bytes.readUInt16BE(26)]).toEqual([localPort, listener.port]);
    expect(bytes.subarray(28).toString()).toBe('data');
  });

  it('grows and shrinks its buffer between bulk and small messages without altering a byte', async () => {
    const server = await started(kit.echo());
    const listener = await open(kit.settings([server]), context());
    const client = await kit.dial(at(listener));
    const got: Buffer[] = [];
    client.on('data', (chunk: Buffer) => got.push(chunk));
    const lengths = [1 << 20, ...Array.from({ length: 40 }, () => 10), 1 << 20];
    for (const length of lengths) {
      const data = randomBytes(length);
      client.write(data);
      await kit.until(() => got.reduce((sum, chunk) => sum + chunk.length, 0) === length);
      expect(digest(Buffer.concat(got.splice(0)))).toBe(digest(data));
    }
    client.destroy();
  });

  it('keeps the bytes of many connections apart while slow readers hold their buffers up', async () => {
    const server = await started(kit.echo());
    const listener = await open(kit.settings([server]), context());
    const stream = async (index: number): Promise<boolean> => {
      const data = randomBytes(3 << 20);
      const client = await kit.dial(at(listener));
      const got: Buffer[] = [];
      client.on('data', (chunk: Buffer) => {
        got.push(chunk);
        if (got.length % 8 !== index % 8) return;
        client.pause();
        setTimeout(() => client.resume(), index % 5);
      });
      client.end(data);
      await once(client, 'end');
      client.destroy();
      return digest(Buffer.concat(got)) === digest(data);
    };
    const intact = await Promise.all(Array.from({ length: 16 }, (_, index) => stream(index)));
    expect(intact).toEqual(intact.map(() => true));
    await kit.until(() => listener.stats.open === 0);
  });
});

describe('choosing a target', () => {
  it('takes the targets in turn', async () => {
    const servers = await Promise.all(['a', 'b', 'c'].map((name) => started(kit.named(name))));
    const listener = await open(kit.settings(servers));
    const answers = await names(listener, 6);
    expect(answers.toSorted()).toEqual(['a', 'a', 'b', 'b', 'c', 'c']);
  });

  it('tries another target when one refuses, so that no client notices', async () => {
    const good = await started(kit.named('good'));
    const listener = await open(kit.settings([await kit.closedPort(), good]));
    expect(await names(listener, 5)).toEqual(['good', 'good', 'good', 'good', 'good']);
    expect(listener.stats.connectFailures).toBe(1);
  });

  it('tries another target when one does not answer in time', async () => {
    const good = await started(kit.named('good'));
    const dead = await started(kit.silentPort());
    const listener = await open(kit.settings([dead, good], { traffic: { connectTimeoutMs: 100 } }));
    expect(await names(listener, 3)).toEqual(['good', 'good', 'good']);
  });

  it('resets the client when every target refuses', async () => {
    const listener = await open(kit.settings([await kit.closedPort(), await kit.closedPort()]));
    expect((await kit.talk(at(listener))).ended).toBe('ECONNRESET');
    expect(listener.stats).toMatchObject({ open: 0, connectFailures: 2 });
  });

  it('resets the client when there is no target', async () => {
    const listener = await open(kit.settings([]));
    expect((await kit.talk(at(listener))).ended).toBe('ECONNRESET');
  });

  it('sends a client to one target with session affinity, and in turn without', async () => {
    const servers = await Promise.all(['a', 'b', 'c'].map((name) => started(kit.named(name))));
    const listener = await open(kit.settings(servers, { affinityMs: 10_000 }));
    const sticky = ['127.0.1.1', '127.0.1.2', '127.0.1.3'];
    const answers = await Promise.all(sticky.map((client) => names(listener, 4, client)));
    for (const answer of answers) expect(new Set(answer).size).toBe(1);
    expect(new Set(answers.flat()).size).toBe(3);
    listener.update(kit.settings(servers));
    expect(new Set(await names(listener, 3, '127.0.1.1')).size).toBe(3);
  });

  it('lets go of a sticky client when its target refuses', async () => {
    const a = await started(kit.named('a'));
    const b = await started(kit.named('b'));
    const listener = await open(kit.settings([a, b], { affinityMs: 10_000 }));
    const [first = ''] = await names(listener, 1);
    await (first === 'a' ? a : b).close();
    const other = first === 'a' ? 'b' : 'a';
    expect(await names(listener, 3)).toEqual([other, other, other]);
  });

  it('sends nobody to a target that its check finds unhealthy, and to all when none is healthy', async () => {
    const a = await started(kit.named('a'));
    const b = await started(kit.named('b'));
    const healthy = new Set<number>();
    const check = (port: number) => ({
      kind: 'tcp' as const,
      host: '127.0.0.1',
      port,
      intervalMs: 10,
      timeoutMs: 100,
      healthyThreshold: 1,
      unhealthyThreshold: 1,
    });
    const context = kit.context({
      health: { maxPerSecond: 1_000, probe: async ({ port }) => healthy.has(port) },
    });
    cleanups.push(() => context.checks.close());
    healthy.add(b.port);
    const targets = [a, b].map(({ host, port }) => ({ host, port, check: check(port) }));
    const listener = await open(kit.settings(targets), context);
    await kit.until(() => listener.targetStates().some(({ healthy }) => !healthy));
    expect(await names(listener, 4)).toEqual(['b', 'b', 'b', 'b']);
    healthy.delete(b.port);
    await kit.until(() => listener.targetStates().every(({ healthy }) => !healthy));
    expect(new Set(await names(listener, 4))).toEqual(new Set(['a', 'b']));
  });
});

describe('changing a running listener', () => {
  it('keeps established connections when everything but their target changes', async () => {
    const server = await started(kit.echo());
    const other = await started(kit.echo());
    const listener = await open(kit.settings([server]));
    const client = await kit.dial(at(listener));
    client.write('1');
    await kit.nextData(client);
    listener.update(
      kit.settings([server, other], {
        sourceRanges: ['203.0.113.0/24'],
        affinityMs: 1_000,
        traffic: { proxyProtocol: true, maxConnections: 1 },
      }),
    );
    client.write('2');
    expect(await kit.nextData(client)).toBe('2');
    expect((await kit.talk(at(listener))).ended).toBe('ECONNRESET');
    client.destroy();
  });

  it('lets connections finish when their target is removed, and gives it no new ones', async () => {
    const old = await started(kit.echo());
    const fresh = await started(kit.named('fresh'));
    const listener = await open(kit.settings([old]));
    const client = await kit.dial(at(listener));
    client.write('1');
    await kit.nextData(client);
    listener.update(kit.settings([fresh]));
    expect(await names(listener, 3)).toEqual(['fresh', 'fresh', 'fresh']);
    const end = kit.outcome(client);
    client.end('2');
    expect(await end).toEqual({ text: '2', ended: 'end' });
  });

  it('resets connections of a removed target at the drain deadline', async () => {
    const old = await started(kit.echo());
    const listener = await open(kit.settings([old], { traffic: { drainMs: 100 } }));
    const client = await kit.dial(at(listener));
    client.write('1');
    await kit.nextData(client);
    const end = kit.outcome(client);
    const removedAt = performance.now();
    listener.update(kit.settings([], { traffic: { drainMs: 100 } }));
    expect((await end).ended).toBe('ECONNRESET');
    expect(performance.now() - removedAt).toBeGreaterThanOrEqual(95);
  });

  it('resets a blocked connection as well at the drain deadline', async () => {
    const old = await started(
      kit.serve((socket) => {
        socket.resume();
        socket.write(Buffer.alloc(32 << 20));
      }),
    );
    const listener = await open(kit.settings([old], { traffic: { drainMs: 100 } }));
    const client = await kit.dial(at(listener));
    client.pause();
    await kit.pause(100);
    listener.update(kit.settings([], { traffic: { drainMs: 100 } }));
    await kit.until(() => listener.stats.open === 0 && old.sockets.size === 0);
    expect((await kit.outcome(client)).ended).toBe('ECONNRESET');
  });

  it('resets a half-closed connection as well at the drain deadline', async () => {
    const old = await started(kit.serve((socket) => socket.resume()));
    const listener = await open(kit.settings([old], { traffic: { drainMs: 100 } }));
    const client = await kit.dial(at(listener));
    client.end('all there is');
    await kit.until(() => [...old.sockets].some(({ readableEnded }) => readableEnded));
    const end = kit.outcome(client);
    listener.update(kit.settings([], { traffic: { drainMs: 100 } }));
    expect((await end).ended).toBe('ECONNRESET');
    // A socket that has seen FIN is not read any more, so the target learns of the reset when it writes.
    const [far] = old.sockets;
    far?.write('is anybody there?');
    await kit.until(() => old.sockets.size === 0);
  });

  it('pardons connections whose target comes back before the deadline', async () => {
    const server = await started(kit.echo());
    const listener = await open(kit.settings([server], { traffic: { drainMs: 200 } }));
    const client = await kit.dial(at(listener));
    client.write('1');
    await kit.nextData(client);
    listener.update(kit.settings([], { traffic: { drainMs: 200 } }));
    listener.update(kit.settings([server], { traffic: { drainMs: 200 } }));
    await kit.pause(350);
    client.write('2');
    expect(await kit.nextData(client)).toBe('2');
    client.destroy();
  });

  it('stops listening at once when it is closed, and lets connections finish', async () => {
    const server = await started(kit.echo());
    const listener = await open(kit.settings([server]));
    const address = at(listener);
    const client = await kit.dial(address);
    client.write('1');
    await kit.nextData(client);
    listener.close(2_000);
    expect((await kit.talk(address)).ended).toBe('ECONNREFUSED');
    const again = await TcpListener.open(
      { address: address.host, port: address.port },
      kit.settings([server]),
      kit.context(),
    );
    cleanups.push(() => again.close(0));
    const end = kit.outcome(client);
    client.end('2');
    expect(await end).toEqual({ text: '2', ended: 'end' });
  });

  it('resets connections of a closed listener at the drain deadline, or at once without one', async () => {
    const server = await started(kit.echo());
    for (const drainMs of [100, 0]) {
      const listener = await open(kit.settings([server]));
      const client = await kit.dial(at(listener));
      client.write('1');
      await kit.nextData(client);
      const end = kit.outcome(client);
      listener.close(drainMs);
      expect(listener.stats.open).toBe(drainMs > 0 ? 1 : 0);
      expect((await end).ended).toBe('ECONNRESET');
    }
  });
});

describe('time-outs', () => {
  it('resets a connection that is silent for the idle time, and not one that is used', async () => {
    const server = await started(kit.echo());
    const listener = await open(kit.settings([server], { traffic: { idleTimeoutMs: 200 } }));
    const silent = await kit.dial(at(listener));
    const used = await kit.dial(at(listener));
    used.resume();
    const timer = setInterval(() => used.write('.'), 40);
    cleanups.push(() => clearInterval(timer));
    expect((await kit.outcome(silent)).ended).toBe('ECONNRESET');
    await kit.pause(300);
    expect(used.destroyed).toBe(false);
    expect(listener.stats.open).toBe(1);
    used.destroy();
  });
});

describe('opening', () => {
  it('names a port in use, with the remedy', async () => {
    const taken = await started(kit.echo());
    const opening = TcpListener.open(
      { address: '127.0.0.1', port: taken.port },
      kit.settings([]),
      kit.context(),
    );
    await expect(opening).rejects.toThrow(ListenError);
    await expect(opening).rejects.toMatchObject({
      reason: 'PortInUse',
      message: expect.stringMatching(/EADDRINUSE.*ss -ltunp/),
    });
  });

  it('names an address that is not on this machine, with the remedy', async () => {
    await expect(
      TcpListener.open({ address: '203.0.113.7', port: 0 }, kit.settings([]), kit.context()),
    ).rejects.toMatchObject({
      reason: 'AddressNotLocal',
      message: expect.stringMatching(/EADDRNOTAVAIL.*ip address add/),
    });
  });

  it('names a port that the process may not open, by its errno', () => {
    const cause = Object.assign(new Error('whatever the text'), { code: 'EACCES' });
    const error = new ListenError({ address: '127.77.0.1', port: 80, protocol: 'TCP' }, cause);
    expect(error).toMatchObject({ reason: 'PortDenied', cause });
    expect(error.message).toMatch(/127\.77\.0\.1:80\/TCP.*setcap/);
  });

  it('serves IPv6 beside IPv4 on the same port', async () => {
    const six = await started(kit.named('six', '::1'));
    const four = await started(kit.named('four'));
    const listener = await open(kit.settings([six]), kit.context(), '::1');
    const other = await TcpListener.open(
      { address: '127.0.0.1', port: listener.port },
      kit.settings([four]),
      kit.context(),
    );
    cleanups.push(() => other.close(0));
    expect((await kit.talk(at(listener))).text).toBe('six');
    expect((await kit.talk({ host: '127.0.0.1', port: listener.port })).text).toBe('four');
  });
});
