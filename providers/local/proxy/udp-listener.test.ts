import { afterEach, describe, expect, it } from 'vitest';
import type { ListenerSettings } from './spec.ts';
import { TcpListener, type ListenerContext } from './tcp-listener.ts';
import type { Endpoint } from './targets.ts';
import * as kit from './testkit.ts';
import { UdpListener } from './udp-listener.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

async function started<T extends { close(): unknown }>(server: Promise<T>): Promise<T> {
  const made = await server;
  cleanups.push(() => made.close());
  return made;
}

async function open(
  settings: ListenerSettings,
  context: ListenerContext = kit.context(),
  address = '127.0.0.1',
): Promise<UdpListener & Endpoint> {
  const listener = await UdpListener.open({ address, port: 0 }, settings, context);
  cleanups.push(() => listener.close());
  return Object.assign(listener, { host: address });
}

describe('a UDP listener', () => {
  it('passes datagrams to a target and its answers back to the client that asked', async () => {
    const server = await started(kit.udpNamed('a'));
    const listener = await open(kit.settings([server]));
    const [one, two] = [await started(kit.udpClient()), await started(kit.udpClient())];
    const answers = await Promise.all([one.ask(listener, '1'), two.ask(listener, '2')]);
    expect(answers).toEqual(['a:1', 'a:2']);
  });

  it('keeps a client with its target, by one socket, and takes targets in turn for new clients', async () => {
    const servers = [await started(kit.udpNamed('a')), await started(kit.udpNamed('b'))];
    const listener = await open(kit.settings(servers));
    const clients = [await started(kit.udpClient()), await started(kit.udpClient())];
    const answers = new Set<string | undefined>();
    for (const client of clients)
      for (const text of ['1', '2', '3']) answers.add((await client.ask(listener, text))?.slice(0, 1));
    expect(answers).toEqual(new Set(['a', 'b']));
    for (const { seen } of servers) {
      expect(seen.map(({ text }) => text)).toEqual(['1', '2', '3']);
      expect(new Set(seen.map(({ port }) => port)).size).toBe(1);
    }
  });

  it('delivers datagrams that arrive while a session is being made, in order', async () => {
    const server = await started(kit.udpNamed('a'));
    const listener = await open(kit.settings([server]));
    const client = await started(kit.udpClient());
    for (let i = 0; i < 5; i++) client.socket.send(String(i), listener.port, listener.host);
    await kit.until(() => server.seen.length === 5);
    expect(server.seen.map(({ text }) => text)).toEqual(['0', '1', '2', '3', '4']);
  });

  it('takes another target when the first refuses', async () => {
    const bad = await kit.udpNamed('bad');
    const good = await started(kit.udpNamed('good'));
    bad.close();
    const listener = await open(kit.settings([bad, good]));
    const client = await started(kit.udpClient());
    const answers: (string | undefined)[] = [];
    for (let i = 0; i < 4; i++) answers.push(await client.ask(listener, 'x', 100));
    expect(answers.slice(1)).toEqual(['good:x', 'good:x', 'good:x']);
  });

  it('sends a client elsewhere when its target is removed', async () => {
    const [a, b] = [await started(kit.udpNamed('a')), await started(kit.udpNamed('b'))];
    const listener = await open(kit.settings([a]));
    const client = await started(kit.udpClient());
    expect(await client.ask(listener, '1')).toBe('a:1');
    listener.update(kit.settings([b]));
    expect(await client.ask(listener, '2')).toBe('b:2');
    expect(listener.stats.open).toBe(1);
  });

  it('answers only clients in the source ranges, also after they change', async () => {
    const server = await started(kit.udpNamed('a'));
    const listener = await open(kit.settings([server], { sourceRanges: ['127.1.0.0/16'] }));
    const inside = await started(kit.udpClient('127.1.0.9'));
    const outside = await started(kit.udpClient('127.2.0.9'));
    expect(await inside.ask(listener, '1')).toBe('a:1');
    expect(await outside.ask(listener, '2', 100)).toBeUndefined();
    listener.update(kit.settings([server], { sourceRanges: ['127.2.0.0/16'] }));
    expect(await inside.ask(listener, '3', 100)).toBeUndefined();
    expect(await outside.ask(listener, '4')).toBe('a:4');
  });

  it('sends sessions of one client address to one target with session affinity', async () => {
    const servers = await Promise.all(['a', 'b', 'c'].map((name) => started(kit.udpNamed(name))));
    const listener = await open(kit.settings(servers, { affinityMs: 10_000 }));
    const answers = new Set<string | undefined>();
    for (let i = 0; i < 4; i++)
      answers.add(await (await started(kit.udpClient('127.0.1.1'))).ask(listener, 'x'));
    expect(answers.size).toBe(1);
  });

  it('forgets a session after the idle time', async () => {
    const server = await started(kit.udpNamed('a'));
    const listener = await open(kit.settings([server], { traffic: { idleTimeoutMs: 80 } }));
    const client = await started(kit.udpClient());
    await client.ask(listener, '1');
    expect(listener.stats.open).toBe(1);
    await kit.until(() => listener.stats.open === 0);
    expect(await client.ask(listener, '2')).toBe('a:2');
    expect(server.seen.map(({ port }) => port).length).toBe(2);
  });

  it('makes room for a new client by ending a session that was never answered', async () => {
    const server = await started(kit.udpNamed('a'));
    const listener = await open(kit.settings([server], { traffic: { maxConnections: 2 } }));
    const [first, second] = [await started(kit.udpClient()), await started(kit.udpClient())];
    await first.ask(listener, '1');
    server.socket.removeAllListeners('message');
    second.socket.send('never answered', listener.port, listener.host);
    await kit.until(() => listener.stats.open === 2);
    server.socket.on('message', (text, from) => server.socket.send(`again:${text}`, from.port, from.address));
    const third = await started(kit.udpClient());
    expect(await third.ask(listener, '3')).toBe('again:3');
    expect(listener.stats).toMatchObject({ open: 2, accepted: 3 });
    expect(await first.ask(listener, '4')).toBe('again:4');
    expect(listener.stats.accepted).toBe(3);
  });

  it('is gone at once when it is closed', async () => {
    const server = await started(kit.udpNamed('a'));
    const listener = await UdpListener.open(
      { address: '127.0.0.1', port: 0 },
      kit.settings([server]),
      kit.context(),
    );
    const to = { host: '127.0.0.1', port: listener.port };
    const client = await started(kit.udpClient());
    await client.ask(to, '1');
    listener.close();
    expect(await client.ask(to, '2', 100)).toBeUndefined();
    const again = await UdpListener.open(
      { address: to.host, port: to.port },
      kit.settings([server]),
      kit.context(),
    );
    cleanups.push(() => again.close());
    expect(await client.ask(to, '3')).toBe('a:3');
  });

  it('serves IPv6', async () => {
    const server = await started(kit.udpNamed('six', '::1'));
    const listener = await open(kit.settings([server]), kit.context(), '::1');
    expect(await (await started(kit.udpClient('::1'))).ask(listener, 'x')).toBe('six:x');
  });

  it('answers beside a TCP listener on the same port number', async () => {
    const udp = await started(kit.udpNamed('udp'));
    const tcp = await started(kit.named('tcp'));
    const listener = await open(kit.settings([udp]));
    const beside = await TcpListener.open(
      { address: '127.0.0.1', port: listener.port },
      kit.settings([tcp]),
      kit.context(),
    );
    cleanups.push(() => beside.close(0));
    expect(await (await started(kit.udpClient())).ask(listener, 'x')).toBe('udp:x');
    expect((await kit.talk({ host: '127.0.0.1', port: listener.port })).text).toBe('tcp');
  });

  it('names a port in use and an address that is not on this machine', async () => {
    const taken = await started(kit.udpNamed('taken'));
    const opening = (address: string, port: number) =>
      UdpListener.open({ address, port }, kit.settings([]), kit.context());
    await expect(opening('127.0.0.1', taken.port)).rejects.toMatchObject({ reason: 'PortInUse' });
    await expect(opening('203.0.113.7', 0)).rejects.toMatchObject({ reason: 'AddressNotLocal' });
  });
});
