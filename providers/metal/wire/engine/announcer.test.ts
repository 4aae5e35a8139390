import { describe, expect, it } from 'vitest';
import { macText } from '../codec/address.ts';
import { type ArpPacket, decodeArp } from '../codec/arp.ts';
import { decodeNdp } from '../codec/ndp.ts';
import { Announcer } from './announcer.ts';
import { PER_ADDRESS } from './counters.ts';
import { aPort, aWorkbench, type FakePort } from './testkit.ts';

const OPTIONS = { burstRounds: 5, burstIntervalMs: 1100, refreshMs: 60_000 };

function anAnnouncer({
  ports = [aPort()],
  options = OPTIONS,
  random = 0.5,
}: Partial<{ ports: FakePort[]; options: typeof OPTIONS; random: number }> = {}) {
  const { table, counters, time } = aWorkbench();
  const announcer = new Announcer(options, {
    timers: time.timers,
    counters,
    now: time.read,
    ports: () => ports,
    random: () => random,
  });
  return { announcer, table, counters, time, port: ports[0]!, entry: table.put('192.0.2.10', 0, undefined) };
}

describe('the announcer', () => {
  it('sends a request and a reply at once and in each of five rounds, 1.1 s apart', () => {
    const { announcer, time, port, entry, counters } = anAnnouncer();
    announcer.start(entry, true);
    time.pass(0);
    expect(port.sent.map((frame) => (decodeArp(frame) as ArpPacket).op)).toEqual([1, 2]);
    const after = [1099, 1, 1100, 1100, 1100, 10_000].map((ms) => {
      time.pass(ms);
      return port.sent.length;
    });
    expect(after).toEqual([2, 4, 6, 8, 10, 10]);
    expect(counters.getFor(0, PER_ADDRESS.gratuitous)).toBe(10);
  });

  it('sends one unsolicited advertisement in each round for an IPv6 address', () => {
    const { announcer, time, port, table } = anAnnouncer();
    announcer.start(table.put('2001:db8::10', 1, undefined), true);
    time.pass(4400);
    expect(port.sent.map((frame) => decodeNdp(frame))).toHaveLength(5);
    expect(decodeNdp(port.sent[0]!)).toMatchObject({ flags: 0x20, linkLayer: port.mac });
  });

  it.each([
    [0, 45_000],
    [1, 75_000],
  ])('refreshes for ever, jittered by a quarter (random %i: after %i ms)', (random, expected) => {
    const { announcer, time, port, entry } = anAnnouncer({ random });
    announcer.start(entry, true);
    time.pass(4400);
    port.sent.length = 0;
    time.pass(expected - 1);
    expect(port.sent).toHaveLength(0);
    time.pass(1);
    expect(port.sent).toHaveLength(2);
    time.pass(expected);
    expect(port.sent).toHaveLength(4);
  });

  it('does not refresh when told so', () => {
    const { announcer, time, port, entry } = anAnnouncer({ options: { ...OPTIONS, refreshMs: 0 } });
    announcer.start(entry, true);
    time.pass(1_000_000);
    expect(port.sent).toHaveLength(10);
  });

  it('without a burst begins with the refreshes', () => {
    const { announcer, time, port, entry } = anAnnouncer();
    announcer.start(entry, false);
    time.pass(29_999);
    expect(port.sent).toHaveLength(0);
    time.pass(1);
    expect(port.sent).toHaveLength(2);
  });

  it('stops at once, and begins anew without doubling its rounds', () => {
    const { announcer, time, port, entry } = anAnnouncer();
    announcer.start(entry, true);
    announcer.start(entry, true);
    time.pass(1100);
    expect(port.sent).toHaveLength(4);
    announcer.stop(entry);
    time.pass(1_000_000);
    expect(port.sent).toHaveLength(4);
  });

  it('tells every interface of the address, with the MAC of each', () => {
    const ports = [aPort('eth0'), aPort('eth1', '02:00:00:00:00:02'), aPort('eth2', '02:00:00:00:00:03')];
    const { announcer, time, table } = anAnnouncer({ ports });
    announcer.start(table.put('192.0.2.20', 1, new Set(['eth1', 'eth2'])), true);
    time.pass(0);
    const sources = ports.map(({ sent }) => sent.map((frame) => macText(frame, 6)));
    expect(sources).toEqual([[], Array(2).fill('02:00:00:00:00:02'), Array(2).fill('02:00:00:00:00:03')]);
  });

  it('says nothing while muted', () => {
    const { announcer, time, port, entry } = anAnnouncer();
    announcer.muted = true;
    announcer.start(entry, true);
    time.pass(1100);
    expect(port.sent).toHaveLength(0);
    announcer.muted = false;
    time.pass(1100);
    expect(port.sent).toHaveLength(2);
  });
});
