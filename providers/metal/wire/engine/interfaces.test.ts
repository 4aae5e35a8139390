import { describe, expect, it } from 'vitest';
import { IFF, type Link } from '../codec/netlink.ts';
import { compareInterfaces, DEFAULT_EXCLUDE, judgeInterfaces } from './interfaces.ts';

const UP = IFF.up | IFF.broadcast | IFF.running;
const aLink = (link: Partial<Link> = {}): Link => ({
  index: 2,
  name: 'eth0',
  flags: UP,
  hardware: 1,
  mac: '02:00:00:00:00:01',
  ...link,
});
const exclude = DEFAULT_EXCLUDE.map((pattern) => new RegExp(pattern));
const linkLocal = { index: 2, ip: 'fe80::1', prefixLength: 64 };

describe('which interfaces are used', () => {
  it.each([
    ['a network card', {}],
    ['a bridge above others', { name: 'br0', kind: 'bridge' }],
    ['a bond', { name: 'bond0', kind: 'bond' }],
    ['a VLAN', { name: 'eth0.5', kind: 'vlan' }],
    ['a macvlan', { name: 'mv0', kind: 'macvlan' }],
    ['the veth of a node in a container', { name: 'eth0', kind: 'veth' }],
  ])('%s', (_what, link) => {
    expect(judgeInterfaces([aLink(link)], [], exclude)[0]).not.toHaveProperty('unusable');
  });

  it.each([
    ['loopback', { name: 'lo', flags: UP | IFF.loopback }, 'loopback'],
    ['a container link', { name: 'veth1a2b', kind: 'veth' }, 'excluded'],
    ['Calico’s', { name: 'cali12345' }, 'excluded'],
    ['Docker’s bridge', { name: 'docker0', kind: 'bridge' }, 'excluded'],
    ['a part of a bridge or bond', { master: 7 }, 'slave'],
    ['a part of an old bond', { flags: UP | IFF.slave }, 'slave'],
    ['VXLAN under any name', { name: 'overlay', kind: 'vxlan' }, 'tunnel'],
    ['WireGuard', { name: 'office', kind: 'wireguard', hardware: 65_534 }, 'tunnel'],
    ['a tap of a virtual machine', { name: 'vm1', kind: 'tun' }, 'tunnel'],
    ['a point-to-point link', { name: 'ppp0', flags: UP | IFF.pointToPoint }, 'pointToPoint'],
    ['InfiniBand', { name: 'ib0', hardware: 32 }, 'notEthernet'],
    ['one without ARP', { flags: UP | IFF.noArp }, 'noArp'],
    ['one that cannot broadcast', { flags: IFF.up | IFF.running }, 'noArp'],
    ['one without a MAC', { mac: undefined }, 'noMac'],
    ['one with no MAC set', { mac: '00:00:00:00:00:00' }, 'noMac'],
    ['one that is down', { flags: IFF.broadcast }, 'down'],
    ['one without a carrier', { flags: IFF.broadcast | IFF.up }, 'noCarrier'],
  ])('not %s', (_what, link, unusable) => {
    const { mac, ...rest } = aLink(link as Partial<Link>);
    const [judged] = judgeInterfaces(
      [{ ...rest, ...(mac === undefined ? {} : { mac }) }],
      [linkLocal],
      exclude,
    );
    expect(judged).toMatchObject({ unusable, arp: false, ndp: false });
  });

  it('NDP needs IPv6 to be up; what the names exclude can be chosen', () => {
    const [card, veth] = judgeInterfaces(
      [aLink(), aLink({ index: 3, name: 'veth0', kind: 'veth' })],
      [linkLocal, { index: 3, ip: '10.0.0.1', prefixLength: 24 }],
      [],
    );
    expect(card).toMatchObject({ arp: true, ndp: true });
    expect(veth).toMatchObject({ arp: true, ndp: false, addresses: [{ ip: '10.0.0.1', prefixLength: 24 }] });
  });
});

describe('what differs between two looks', () => {
  const judged = (...links: Partial<Link>[]) =>
    judgeInterfaces(
      links.map((link) => aLink(link)),
      [linkLocal],
      exclude,
    );

  const nothing = { lost: [], found: [], changed: [], differs: false };

  it.each([
    { what: 'nothing', before: judged({}), after: judged({}), expected: nothing },
    { what: 'one that vanished', before: judged({}), after: judged(), expected: { lost: ['eth0'] } },
    {
      what: 'one that went down',
      before: judged({}),
      after: judged({ flags: 0x2 }),
      expected: { lost: ['eth0'] },
    },
    { what: 'one that came', before: judged(), after: judged({}), expected: { found: ['eth0'] } },
    { what: 'a MAC', before: judged({}), after: judged({ mac: 'x' }), expected: { changed: ['eth0'] } },
    { what: 'the number', before: judged({}), after: judged({ index: 9 }), expected: { changed: ['eth0'] } },
    { what: 'an unused one', before: judged(), after: judged({ name: 'veth1' }), expected: {} },
  ])('$what', ({ before, after, expected }) => {
    const differs = 'differs' in expected ? expected.differs : true;
    expect(compareInterfaces(before, after)).toEqual({ ...nothing, ...expected, differs });
  });
});
