import type { SettingsOf } from '@berth/core';
import { notCarriedOut } from './settings-unsupported.ts';
import { choice, flag, list, map, mapsBySuffix, text, whole } from './setting-kinds.ts';

/** Words of `alpn-policy` (ELBv2 API, CreateListener `AlpnPolicy`). */
const ALPN = ['HTTP1Only', 'HTTP2Only', 'HTTP2Optional', 'HTTP2Preferred', 'None'] as const;

const placement = {
  type: choice(
    {
      name: 'type',
      default: undefined,
      doc: 'Who provisions; `nlb-ip` means pods as targets, the others say nothing.',
    },
    ['external', 'nlb', 'nlb-ip'],
  ),
  targetType: choice(
    {
      name: 'nlb-target-type',
      default: undefined,
      doc: 'What traffic goes to: node ports, or pods by their addresses.',
    },
    ['instance', 'ip'],
  ),
  name: text(
    { name: 'name', default: undefined, doc: 'Name of the load balancer; without effect once it exists.' },
    'up to 32 letters, digits and hyphens, without a hyphen at either end and not beginning with internal-',
    /^(?!internal-)[a-zA-Z0-9]([-a-zA-Z0-9]{0,30}[a-zA-Z0-9])?$/,
  ),
  scheme: choice(
    { name: 'scheme', default: undefined, doc: 'Who can reach it; a change makes a new load balancer.' },
    ['internal', 'internet-facing'],
  ),
  internal: text(
    {
      name: 'internal',
      default: undefined,
      doc: 'Older form of the scheme: anything but `false` is internal.',
    },
    '`true` or `false`',
    /^\S+$/,
  ),
  subnets: list(
    {
      name: 'subnets',
      default: [],
      doc: 'Subnets by id or Name tag, one for each zone; discovered by tags otherwise.',
    },
    'a comma list of subnet ids or names',
    /^[^,]+$/,
  ),
  ipAddressType: choice(
    {
      name: 'ip-address-type',
      default: undefined,
      doc: 'IP families of the load balancer; those of the Service otherwise.',
    },
    ['ipv4', 'dualstack'],
  ),
  eipAllocations: list(
    { name: 'eip-allocations', default: [], doc: 'Elastic IPs, one for each subnet; internet-facing only.' },
    'a comma list of allocation ids (eipalloc-…)',
    /^eipalloc-[0-9a-z]+$/,
  ),
  privateIpv4Addresses: list(
    {
      name: 'private-ipv4-addresses',
      default: [],
      doc: 'Fixed addresses, one in each subnet; internal only.',
    },
    'a comma list of IPv4 addresses',
    /^\d{1,3}(\.\d{1,3}){3}$/,
  ),
  ipv6Addresses: list(
    { name: 'ipv6-addresses', default: [], doc: 'Fixed IPv6 addresses, one in each subnet; dualstack only.' },
    'a comma list of IPv6 addresses',
    /^[0-9a-fA-F:]+$/,
  ),
  ipv6SourceNat: choice(
    {
      name: 'enable-prefix-for-ipv6-source-nat',
      default: undefined,
      doc: 'A prefix of its own for IPv6 source NAT, which UDP over dualstack needs.',
    },
    ['on', 'off'],
  ),
  sourceNatPrefixes: list(
    {
      name: 'source-nat-ipv6-prefixes',
      default: [],
      doc: 'The prefixes for IPv6 source NAT, one for each subnet.',
    },
    'a comma list of /80 prefixes or `auto_assigned`',
    /^(auto_assigned|[0-9a-fA-F:]+\/80)$/,
  ),
  targetNodeLabels: map(
    {
      name: 'target-node-labels',
      default: {},
      doc: 'Only nodes with these labels are targets; an empty value takes any.',
    },
    'a comma list of label=value',
  ),
};

const listeners = {
  sslCert: list(
    {
      name: 'ssl-cert',
      default: [],
      doc: 'Certificates; the first is the default, all are offered by SNI. TCP becomes TLS.',
    },
    'a comma list of certificate ARNs',
    /^arn:[^\s,]+$/,
  ),
  sslPorts: list(
    {
      name: 'ssl-ports',
      default: [],
      doc: 'Ports that become TLS, by number or name; all TCP ports otherwise.',
    },
    'a comma list of port numbers or names, or `*`',
  ),
  sslPolicy: text(
    { name: 'ssl-negotiation-policy', default: undefined, doc: 'TLS versions and ciphers.' },
    'the name of a security policy',
    /^[-A-Za-z0-9]+$/,
  ),
  backendProtocol: choice(
    {
      name: 'backend-protocol',
      default: undefined,
      doc: '`ssl` encrypts from the load balancer to the targets of TLS ports.',
    },
    ['ssl', 'tls', 'tcp'],
  ),
  alpnPolicy: choice(
    { name: 'alpn-policy', default: undefined, doc: 'Which application protocols TLS listeners offer.' },
    ALPN,
  ),
  listenerAttributes: mapsBySuffix(
    {
      name: 'listener-attributes',
      default: {},
      doc: 'Attributes of one listener, for example `tcp.idle_timeout.seconds=400`.',
    },
    'a comma list of attribute=value, at a name that ends in PROTOCOL-PORT',
  ),
  tcpUdpListener: flag({
    name: 'enable-tcp-udp-listener',
    default: undefined,
    doc: 'Accepted and not needed: TCP and UDP on one port always share a listener.',
  }),
};

const attributes = {
  attributes: map(
    {
      name: 'attributes',
      default: {},
      doc: 'Attributes of the load balancer; those not named are left alone.',
    },
    'a comma list of attribute=value',
  ),
  crossZone: flag({
    name: 'cross-zone-load-balancing-enabled',
    default: undefined,
    doc: 'Whether targets get traffic from every zone; wins over `attributes`.',
  }),
  accessLog: flag({ name: 'access-log-enabled', default: undefined, doc: 'Access logs of TLS listeners.' }),
  accessLogBucket: text(
    { name: 'access-log-s3-bucket-name', default: undefined, doc: 'Bucket of the access logs.' },
    'the name of a bucket',
    /^[-.a-z0-9]{3,63}$/,
  ),
  accessLogPrefix: text(
    { name: 'access-log-s3-bucket-prefix', default: undefined, doc: 'Path in the bucket.' },
    'a path',
    /^\S*$/,
  ),
  targetGroupAttributes: map(
    {
      name: 'target-group-attributes',
      default: {},
      doc: 'Attributes of all target groups; those not named are left alone.',
    },
    'a comma list of attribute=value',
  ),
  targetGroupAttributesByPort: mapsBySuffix(
    {
      name: 'target-group-attributes',
      default: {},
      doc: 'Attributes of the target group of one Service port; an empty value does not override.',
    },
    'a comma list of attribute=value, at a name that ends in the port',
  ),
  proxyProtocol: choice(
    {
      name: 'proxy-protocol',
      default: undefined,
      doc: '`*`: PROXY protocol v2 on all target groups; strongest.',
    },
    ['*'],
  ),
  proxyProtocolPorts: list(
    {
      name: 'proxy-protocol-per-target-group',
      default: [],
      doc: 'Ports with PROXY protocol v2; the others have none.',
    },
    'a comma list of port numbers',
    /^\d{1,5}$/,
  ),
  additionalTags: map(
    {
      name: 'additional-resource-tags',
      default: {},
      doc: 'Tags on everything that is made for the Service.',
    },
    'a comma list of key=value',
  ),
};

const healthCheck = {
  healthCheckProtocol: choice(
    { name: 'healthcheck-protocol', default: undefined, doc: 'How targets are probed.' },
    ['TCP', 'HTTP', 'HTTPS', 'tcp', 'http', 'https'],
  ),
  healthCheckPort: text(
    {
      name: 'healthcheck-port',
      default: undefined,
      doc: 'Port that is probed; a port name means its node port (pods: target port).',
    },
    'a port number, the name of a port, or `traffic-port`',
    /^[-a-z0-9]{1,63}$/,
  ),
  healthCheckPath: text(
    { name: 'healthcheck-path', default: undefined, doc: 'Path of an HTTP probe.' },
    'a path that begins with /',
    /^\/[\x21-\x7e]{0,1023}$/,
  ),
  healthCheckInterval: whole(
    { name: 'healthcheck-interval', default: undefined, doc: 'Time between two probes.' },
    { from: 5, to: 300, unit: 'seconds' },
  ),
  healthCheckTimeout: whole(
    { name: 'healthcheck-timeout', default: undefined, doc: 'How long a probe may take.' },
    { from: 2, to: 120, unit: 'seconds' },
  ),
  healthCheckHealthyThreshold: whole(
    {
      name: 'healthcheck-healthy-threshold',
      default: undefined,
      doc: 'Good probes in a row that bring a target back.',
    },
    { from: 2, to: 10 },
  ),
  healthCheckUnhealthyThreshold: whole(
    {
      name: 'healthcheck-unhealthy-threshold',
      default: undefined,
      doc: 'Bad probes in a row that take a target out.',
    },
    { from: 2, to: 10 },
  ),
  healthCheckSuccessCodes: text(
    { name: 'healthcheck-success-codes', default: undefined, doc: 'Answers of an HTTP probe that are good.' },
    'codes from 200 to 599: `200`, `200,202` or `200-399`',
    /^[2-5]\d\d([-,][2-5]\d\d)*$/,
  ),
};

const groups = {
  prefixLists: list(
    {
      name: 'security-group-prefix-lists',
      default: [],
      doc: 'Prefix lists that may connect; alone they replace the open default.',
    },
    'a comma list of prefix list ids (pl-…)',
    /^pl-[0-9a-z]+$/,
  ),
  securityGroups: list(
    {
      name: 'security-groups',
      default: [],
      doc: 'Security groups by id or name, instead of the one that Berth manages.',
    },
    'a comma list of security group ids or names',
    /^[^,]+$/,
  ),
  manageBackendRules: flag({
    name: 'manage-backend-security-group-rules',
    default: undefined,
    doc: 'With groups of your own: whether Berth attaches its shared group and opens the nodes for it.',
  }),
  privateLinkRules: choice(
    {
      name: 'inbound-sg-rules-on-private-link-traffic',
      default: undefined,
      doc: 'Whether inbound rules hold for PrivateLink.',
    },
    ['on', 'off'],
  ),
  pathMtuDiscovery: choice(
    {
      name: 'enable-icmp-for-path-mtu-discovery',
      default: undefined,
      doc: '`on` lets the ICMP messages in that tell the path MTU.',
    },
    ['on', 'off'],
  ),
};

/** All annotations of the provider, with type, default and meaning. */
export const settings = {
  ...placement,
  ...listeners,
  ...attributes,
  ...healthCheck,
  ...groups,
  ...notCarriedOut,
};

/** The values of the annotations. */
export type AwsSettings = SettingsOf<typeof settings>;
