import type { Desired } from './desired.ts';
import type { PortPlan } from './ports.ts';
import type { Attributes } from './state.ts';

/** The API's name of PROXY protocol v2. */
export const PROXY_PROTOCOL = 'proxy_protocol_v2.enabled';
/** The API's name of client-IP preservation. */
export const PRESERVE_CLIENT_IP = 'preserve_client_ip.enabled';

/**
 * The attributes that are asked for, weakest first: those of all target groups, those of the port (an empty value does
 * not override), the list of ports with PROXY protocol, and `*`.
 */
export function targetGroupAttributes({ port }: PortPlan, { settings }: Desired): Attributes {
  const own = Object.entries(settings.targetGroupAttributesByPort[String(port)] ?? {});
  const listed = settings.proxyProtocolPorts;
  return {
    ...settings.targetGroupAttributes,
    ...Object.fromEntries(own.filter(([, value]) => value !== '')),
    ...(listed.length === 0 ? {} : { [PROXY_PROTOCOL]: String(listed.includes(String(port))) }),
    ...(settings.proxyProtocol === '*' ? { [PROXY_PROTOCOL]: 'true' } : {}),
  };
}
