import { describe, expect, it } from 'vitest';
import { gatewaysOfIpv6Route, gatewaysOfRoute } from './gateways.ts';

const ROUTE = `Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	0102A8C0	0003	0	0	0	00000000	0	0	0
wg0	00000000	00000000	0001	0	0	9	00000000	0	0	0
eth0	0002A8C0	00000000	0001	0	0	0	00FFFFFF	0	0	0
eth0	0000000A	0102A8C0	0003	0	0	0	000000FF	0	0	0
`;
const ZEROS = '0'.repeat(32);
const NEXT = 'fe800000000000000000000000000001';
const ROUTE6 = `${ZEROS} 00 ${ZEROS} 00 ${NEXT} 00000400 00000001 00000000 00000003     eth0
${ZEROS} 00 ${ZEROS} 00 ${ZEROS} ffffffff 00000001 00000000 00200200       lo
20010db8000000000000000000000000 40 ${ZEROS} 00 ${ZEROS} 00000100 00000001 00000000 00000001     eth0
`;

describe('gateways', () => {
  it('are the next hops of default routes', () => {
    expect(gatewaysOfRoute(ROUTE)).toEqual([{ address: '192.168.2.1', interface: 'eth0' }]);
    expect(gatewaysOfIpv6Route(ROUTE6)).toEqual([{ address: 'fe80::1', interface: 'eth0' }]);
  });

  it('are none in an empty table or one that is cut', () => {
    expect([
      ...gatewaysOfRoute(''),
      ...gatewaysOfRoute(ROUTE.slice(0, 90)),
      ...gatewaysOfIpv6Route(ZEROS),
    ]).toEqual([]);
  });
});
