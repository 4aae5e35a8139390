/** Behaviours I 94 to 112 as far as they are decisions; those that need an answer of AWS are in `test/real`. */
import { describe, expect, it } from 'vitest';
import { plan } from '../providers/aws/plan.ts';
import { targetTypeOf } from '../providers/aws/desired.ts';
import { nameFor } from '../providers/aws/names.ts';
import type { AwsLoadBalancer } from '../providers/aws/state.ts';
import { wantedOf, type Wanted } from '../providers/aws/wanted.ts';
import { isBerthError, type BerthError } from '../src/model/errors.ts';
import type { Service } from '../src/model/service.ts';
import { aPort } from './builders.ts';
import { albl, carriedOut, contextWith, wants, worldWith } from './fixtures/aws-model.ts';

const CERT = 'arn:aws:acm:eu-west-1:1:certificate/';

type Config = Readonly<Record<string, unknown>>;

/** What is wanted for a Service, in AWS's words. */
function wanted(service: Partial<Service>, config: Config = {}, have?: AwsLoadBalancer): Wanted {
  return wantedOf(wants(service, { config }).loadBalancer, have, contextWith(config));
}

/** The only target group that is wanted. */
function group(service: Partial<Service>, config: Config = {}) {
  return Object.values(wanted(service, config).targetGroups)[0]!;
}

/** What the Service is refused with. */
function refusal(service: Partial<Service>, config: Config = {}): BerthError {
  try {
    wants(service, { config });
  } catch (error) {
    if (isBerthError(error)) return error;
    throw error;
  }
  throw new Error('it was not refused');
}

/** Codes of the notes about a Service, with what they are about. */
function notes(service: Partial<Service>, config: Config = {}): readonly string[] {
  return wants(service, { config }).notes.map(({ code, subject }) => `${code} ${subject}`);
}

/** Makes it, without AWS. */
function made(service: Partial<Service>, config: Config = {}): AwsLoadBalancer {
  const { loadBalancer } = wants(service, { config });
  let have: AwsLoadBalancer | undefined;
  for (let round = 0; round < 4; round++) {
    const steps = plan(
      { scope: 'loadBalancer', key: 'default/web', desired: loadBalancer },
      worldWith(have),
      contextWith(config),
    );
    if (steps.length === 0) break;
    have = carriedOut(steps, have);
  }
  return have!;
}

/** The steps from what is there to what a Service wants, in words. */
function steps(service: Partial<Service>, have: AwsLoadBalancer, config: Config = {}): readonly string[] {
  const { loadBalancer } = wants(service, { config });
  return plan(
    { scope: 'loadBalancer', key: 'default/web', desired: loadBalancer },
    worldWith(have),
    contextWith(config),
  ).map(({ verb, resource, key }) => `${verb} ${resource} ${key}`);
}

const TWO_PORTS = [
  aPort({ name: 'http', port: 80, nodePort: 30_080 }),
  aPort({ name: 'https', port: 443, nodePort: 30_443 }),
];
const LOCAL = { externalTrafficPolicy: 'Local', healthCheckNodePort: 32_100 } as const;
const PAIR = [
  aPort({ name: 'dns-tcp', port: 53, nodePort: 30_053, targetPort: 53 }),
  aPort({ name: 'dns', port: 53, protocol: 'UDP', nodePort: 30_053, targetPort: 53 }),
];

describe('AWS behaviours', () => {
  it('B94 defaults: internal, the configured target type, a TCP health check of 10 s within 10 s, 3 and 3', () => {
    expect(wanted({}).balancer.scheme).toBe('internal');
    expect(group({})).toMatchObject({ targetType: 'instance', protocol: 'TCP', port: 30_080 });
    expect(group({}).healthCheck).toEqual({
      protocol: 'TCP',
      port: 'traffic-port',
      interval: 10,
      timeout: 10,
      healthy: 3,
      unhealthy: 3,
    });
    expect(group({}, { defaultTargetType: 'ip' }).targetType).toBe('ip');
    expect(wanted({}, { defaultScheme: 'internet-facing' }).balancer.scheme).toBe('internet-facing');
  });

  it('B94 with --cluster-policy-health-check=kube-proxy policy Cluster asks kube-proxy, so that nodes drain', () => {
    const config = { clusterPolicyHealthCheck: 'kube-proxy' };
    expect(group({}, config).healthCheck).toMatchObject({
      protocol: 'HTTP',
      port: '10256',
      path: '/healthz',
    });
    expect(group(LOCAL, config).healthCheck.port).toBe('32100');
  });

  it('B95 policy Local with nodes as targets asks the healthCheckNodePort; annotations override one by one', () => {
    expect(group(LOCAL).healthCheck).toEqual({
      protocol: 'HTTP',
      port: '32100',
      path: '/healthz',
      codes: '200-399',
      interval: 10,
      timeout: 6,
      healthy: 2,
      unhealthy: 2,
    });
    const overridden = {
      ...LOCAL,
      ...albl({
        'healthcheck-port': '9000',
        'healthcheck-path': '/ready',
        'healthcheck-interval': '20',
        'healthcheck-success-codes': '200',
      }),
    };
    expect(group(overridden).healthCheck).toMatchObject({
      port: '9000',
      path: '/ready',
      interval: 20,
      codes: '200',
      timeout: 6,
    });
    expect(group({ ...LOCAL, ...albl({ 'nlb-target-type': 'ip' }) }).healthCheck.protocol).toBe('TCP');
  });

  it('B96 one listener and one target group for each port, in one load balancer', () => {
    const { listeners, targetGroups } = wanted({ ports: TWO_PORTS });
    expect(Object.keys(listeners)).toEqual(['80', '443']);
    expect(Object.keys(targetGroups)).toEqual(['TCP:30080', 'TCP:30443']);
    expect(listeners['443']?.targetGroup).toBe('TCP:30443');
  });

  it('B97 TLS only on the TCP ports that ssl-ports selects; the first certificate is the default', () => {
    const secure = albl({ 'ssl-cert': `${CERT}a, ${CERT}b`, 'ssl-ports': 'https' });
    const { listeners } = wanted({ ports: TWO_PORTS, ...secure });
    expect(listeners['80']).toMatchObject({ protocol: 'TCP', certificates: [] });
    expect(listeners['443']).toMatchObject({
      protocol: 'TLS',
      certificates: [`${CERT}a`, `${CERT}b`],
      sslPolicy: 'ELBSecurityPolicy-2016-08',
    });
    expect(wanted({ ports: TWO_PORTS, ...albl({ 'ssl-cert': `${CERT}a` }) }).listeners['80']?.protocol).toBe(
      'TLS',
    );
    const encrypted = { ports: TWO_PORTS, ...albl({ 'ssl-cert': `${CERT}a`, 'backend-protocol': 'ssl' }) };
    expect(Object.keys(wanted(encrypted).targetGroups)).toEqual(['TLS:30080', 'TLS:30443']);
  });

  it('B97 a port in ssl-ports that the Service has not, or ssl-ports without a certificate, is an error', () => {
    const unused = refusal({ ports: TWO_PORTS, ...albl({ 'ssl-cert': `${CERT}a`, 'ssl-ports': '8443' }) });
    expect(unused).toMatchObject({ code: 'TlsPortUnknown' });
    expect(unused.message).toContain('8443');
    expect(refusal({ ports: TWO_PORTS, ...albl({ 'ssl-ports': '443' }) })).toMatchObject({
      code: 'CertificateMissing',
    });
  });

  it('B98 proxy protocol: "*" beats the list of ports, which beats the attribute', () => {
    const key = 'proxy_protocol_v2.enabled';
    const values = (annotations: Record<string, string>) =>
      Object.values(wanted({ ports: TWO_PORTS, ...albl(annotations) }).targetGroups).map(
        ({ attributes }) => attributes[key],
      );
    expect(values({ 'target-group-attributes': `${key}=true` })).toEqual(['true', 'true']);
    expect(
      values({ 'target-group-attributes': `${key}=true`, 'proxy-protocol-per-target-group': '443' }),
    ).toEqual(['false', 'true']);
    expect(
      values({
        'target-group-attributes': `${key}=false`,
        'proxy-protocol-per-target-group': '443',
        'proxy-protocol': '*',
      }),
    ).toEqual(['true', 'true']);
  });

  it('B99 Elastic IPs only where it faces the internet, private addresses only internal, one for each subnet', () => {
    expect(refusal(albl({ 'eip-allocations': 'eipalloc-1' })).message).toContain('eip-allocations');
    expect(
      refusal(albl({ scheme: 'internet-facing', 'private-ipv4-addresses': '10.0.0.9' })).message,
    ).toContain('private-ipv4-addresses');
    const two = { scheme: 'internet-facing', subnets: 'subnet-1,subnet-2' };
    expect(refusal(albl({ ...two, 'eip-allocations': 'eipalloc-1' })).message).toContain(
      '1 entries for 2 subnets',
    );
    const right = wanted(albl({ ...two, 'eip-allocations': 'eipalloc-1,eipalloc-2' })).balancer;
    expect(right.allocations).toEqual(['eipalloc-1', 'eipalloc-2']);
  });

  it('B100 dualstack brings rules for everybody of both families; an IPv6 range without it is an error', () => {
    const sources = (service: Partial<Service>) => wanted(service).group?.rules.map(({ source }) => source);
    expect(sources({})).toEqual(['0.0.0.0/0']);
    expect(sources(albl({ 'ip-address-type': 'dualstack' }))).toEqual(['0.0.0.0/0', '::/0']);
    expect(sources({ ipFamilies: ['IPv4', 'IPv6'], ipFamilyPolicy: 'PreferDualStack' })).toEqual([
      '0.0.0.0/0',
      '::/0',
    ]);
    expect(refusal({ loadBalancerSourceRanges: ['2001:db8::/32'] })).toMatchObject({
      code: 'InvalidSourceRange',
    });
  });

  it('B102 another scheme replaces the load balancer; without one the present scheme stays', () => {
    const have = made(albl({ scheme: 'internet-facing' }));
    expect(steps({}, have)).toEqual([]);
    expect(steps(albl({ scheme: 'internal' }), have)).toEqual([
      'replace loadBalancer web',
      'create listener 80',
    ]);
  });

  it('B102 another target type or protocol makes another target group, and the listener moves before the old one goes', () => {
    const have = made({});
    const ip = albl({ 'nlb-target-type': 'ip' });
    expect(steps(ip, have).filter((one) => !one.startsWith('update targets'))).toEqual([
      'create targetGroup TCP:ip:8080',
      'update listener 80',
    ]);
    const context = contextWith();
    expect(targetTypeOf(wants(ip).loadBalancer.settings, context)).toBe('ip');
  });

  it('B103 attributes that nobody names are never reset', () => {
    const have = made({});
    const changed = {
      ...have,
      balancer: {
        ...have.balancer!,
        attributes: { 'load_balancing.cross_zone.enabled': 'true', 'deletion_protection.enabled': 'true' },
      },
    };
    expect(steps({}, changed)).toEqual([]);
    expect(steps(albl({ attributes: 'load_balancing.cross_zone.enabled=false' }), changed)).toEqual([
      'update loadBalancerAttributes web',
    ]);
  });

  it('B104 our tags win over the configuration’s, and those over the annotation’s; ignored keys are left alone', () => {
    const config = { defaultTags: { team: 'config', env: 'prod' }, externalManagedTags: ['cost'] };
    const service = albl({
      'additional-resource-tags': 'team=annotation,app=web,berth.dev/cluster=mine,cost=1',
    });
    expect(wanted(service, config).tags('loadBalancer')).toEqual({
      team: 'config',
      env: 'prod',
      app: 'web',
      'berth.dev/cluster': contextWith().cluster.id,
      'berth.dev/service': 'default/web',
      'berth.dev/service-uid': 'uid-of-web',
      'berth.dev/resource': 'loadBalancer',
    });
    const have = made(service, config);
    const tagged = {
      ...have,
      balancer: { ...have.balancer!, tags: { ...have.balancer!.tags, cost: '2', stray: 'x' } },
    };
    const { loadBalancer } = wants(albl({ 'additional-resource-tags': 'team=annotation' }), { config });
    const request = { scope: 'loadBalancer', key: 'default/web', desired: loadBalancer } as const;
    const step = plan(request, worldWith(tagged), contextWith(config)).find(
      ({ key }) => key === 'loadBalancer',
    );
    // What the annotation no longer names goes; what others look after stays.
    expect(step?.after).toMatchObject({ set: {}, remove: ['app', 'stray'] });
  });

  it('B105 groups of the user replace the managed one, and get the shared one only when asked', () => {
    const own = wanted(albl({ 'security-groups': 'sg-1,web' }));
    expect([own.group, own.balancer.groups]).toEqual([undefined, ['sg-1', 'web']]);
    expect(wanted({}).balancer.groups).toEqual(['frontend', 'backend']);
    const asked = albl({ 'security-groups': 'sg-1', 'manage-backend-security-group-rules': 'true' });
    expect(wanted(asked).balancer.groups).toEqual(['sg-1', 'backend']);
    const ranges = { ...albl({ 'security-groups': 'sg-1' }), loadBalancerSourceRanges: ['10.0.0.0/8'] };
    expect(notes(ranges)).toContain('SourceRangesIgnored source ranges');
  });

  it('B108 a name has at most 32 characters, a generated one is stable and says whose it is', () => {
    expect(wanted(albl({ name: 'my-lb' })).balancer.name).toBe('my-lb');
    expect(refusal(albl({ name: 'x'.repeat(33) }))).toMatchObject({ code: 'InvalidAnnotation' });
    expect(refusal(albl({ name: 'internal-x' }))).toMatchObject({ code: 'InvalidAnnotation' });
    const { name } = wanted({}).balancer;
    expect(name).toBe(wanted({ ports: TWO_PORTS }).balancer.name);
    expect(name).toMatch(/^berth-[0-9a-f]{6}-web-[0-9a-f]{10}$/);
    const [long, other] = [contextWith().cluster, { id: 'other' }];
    expect(nameFor(long, 's'.repeat(63), ['x'])).toHaveLength(32);
    expect(nameFor(other, 'web', ['x'])).not.toBe(nameFor(long, 'web', ['x']));
    expect(nameFor(long, '---', ['x'])).toMatch(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/);
  });

  it('B111 a node port of 0 is an error that names the port', () => {
    const error = refusal({ ports: [aPort({ port: 8080, nodePort: 0 })] });
    expect(error).toMatchObject({ code: 'NodePortMissing' });
    expect(error.message).toContain('8080/TCP');
    const pods = { ports: [aPort({ port: 8080, nodePort: 0 })], ...albl({ 'nlb-target-type': 'ip' }) };
    expect(Object.keys(wanted(pods).targetGroups)).toEqual(['TCP:ip:8080']);
  });

  it('B112 TCP and UDP on one port share a listener without being asked', () => {
    const { listeners, targetGroups } = wanted({ ports: PAIR });
    expect(Object.values(listeners)).toEqual([expect.objectContaining({ port: 53, protocol: 'TCP_UDP' })]);
    expect(Object.keys(targetGroups)).toEqual(['TCP_UDP:30053']);
    expect(wanted({ ports: PAIR }).group?.rules.map(({ protocol }) => protocol)).toEqual(['tcp', 'udp']);
  });

  it('B112 where they cannot share one, TCP is served and UDP says why', () => {
    const apart = [PAIR[0]!, { ...PAIR[1]!, nodePort: 30_054 }];
    expect(Object.values(wanted({ ports: apart }).listeners).map(({ protocol }) => protocol)).toEqual([
      'TCP',
    ]);
    expect(notes({ ports: apart })).toContain('PortConflict spec.ports 53/UDP');
    const secure = { ports: PAIR, ...albl({ 'ssl-cert': `${CERT}a` }) };
    expect(Object.values(wanted(secure).listeners).map(({ protocol }) => protocol)).toEqual(['TLS']);
    expect(notes(secure)).toContain('PortConflict spec.ports 53/UDP');
  });
});

describe('what the annotations ask for and AWS, or Berth, does not do', () => {
  it.each([
    ['quic-enabled-ports', '443'],
    ['minimum-load-balancer-capacity', 'CapacityUnits=3000'],
    ['multi-cluster-target-group', 'true'],
    ['disable-nlb-sg', 'true'],
    ['extra-security-groups', 'sg-1'],
    ['connection-idle-timeout', '60'],
    ['connection-draining-enabled', 'true'],
    ['connection-draining-timeout', '60'],
    ['access-log-emit-interval', '5'],
  ])('%s gets an event that names it', (name, value) => {
    expect(notes(albl({ [name]: value }))).toContain(
      `AnnotationUnsupported service.beta.kubernetes.io/aws-load-balancer-${name}`,
    );
  });

  it('weighted actions get an event that names them, whatever port they are for', () => {
    const name = 'service.beta.kubernetes.io/actions.TCP-80';
    expect(notes({ annotations: { [name]: '{}' } })).toEqual([`AnnotationUnsupported ${name}`]);
  });

  it('an annotation that looks like the incumbent’s and is none gets an event; one of ours that is none is refused', () => {
    expect(notes(albl({ schema: 'internal' }))).toEqual([
      'AnnotationIgnored service.beta.kubernetes.io/aws-load-balancer-schema',
    ]);
    expect(notes(albl({ scheme: 'internal' }))).toEqual([]);
    const error = refusal({ annotations: { 'aws.berth.dev/schema': 'internal' } });
    expect(error).toMatchObject({ code: 'UnknownAnnotation' });
    expect(error.message).toContain('aws.berth.dev/scheme');
  });

  it('51 ports are refused before AWS is asked', () => {
    const ports = Array.from({ length: 51 }, (_, index) =>
      aPort({ name: `p${index}`, port: 1000 + index, nodePort: 30_000 + index }),
    );
    expect(refusal({ ports })).toMatchObject({ code: 'TooManyPorts' });
    expect(Object.keys(wanted({ ports: ports.slice(1) }).listeners)).toHaveLength(50);
  });

  it('a UDP port is probed by its TCP neighbour; alone, a warning says that nothing can probe it', () => {
    const udp = aPort({ name: 'udp', port: 5353, protocol: 'UDP', nodePort: 30_053 });
    expect(notes({ ports: [udp] })).toEqual(['HealthCheckImpossible spec.ports 5353/UDP']);
    const both = { ports: [aPort(), udp] };
    expect(notes(both)).toEqual([]);
    expect(wanted(both).targetGroups['UDP:30053']?.healthCheck.port).toBe('30080');
  });

  it('client-IP preservation cannot be turned off for UDP', () => {
    const udp = {
      ports: [aPort({ protocol: 'UDP' })],
      ...albl({ 'target-group-attributes': 'preserve_client_ip.enabled=false' }),
    };
    expect(refusal(udp).message).toContain('preserve_client_ip.enabled');
    expect(group(albl({ 'target-group-attributes': 'preserve_client_ip.enabled=false' })).attributes).toEqual(
      {
        'preserve_client_ip.enabled': 'false',
      },
    );
  });

  it('attributes of one port or listener must name one that there is', () => {
    expect(refusal(albl({ 'target-group-attributes.81': 'stickiness.enabled=true' })).message).toContain(
      '.81',
    );
    expect(refusal(albl({ 'listener-attributes.TCP-81': 'tcp.idle_timeout.seconds=400' })).message).toContain(
      'TCP-81',
    );
    const right = wanted(
      albl({
        'target-group-attributes': 'stickiness.enabled=false,deregistration_delay.timeout_seconds=10',
        'target-group-attributes.80': 'stickiness.enabled=true,deregistration_delay.timeout_seconds=',
        'listener-attributes.TCP-80': 'tcp.idle_timeout.seconds=400',
      }),
    );
    expect(right.targetGroups['TCP:30080']?.attributes).toEqual({
      'stickiness.enabled': 'true',
      'deregistration_delay.timeout_seconds': '10',
    });
    expect(right.listeners['80']?.attributes).toEqual({ 'tcp.idle_timeout.seconds': '400' });
  });

  it('only nodes with the labels that are asked for are targets', () => {
    // The labels themselves are looked at by the core, which knows the nodes.
    expect(wants(albl({ 'target-node-labels': 'pool=edge' })).loadBalancer.targets).toEqual([]);
    expect(wants({}).loadBalancer.targets).toHaveLength(3);
  });

  it('nodes without an instance are left out, each with the reason', () => {
    const targets = [
      { node: 'new', providerID: '', addresses: [] },
      { node: 'fargate', providerID: 'aws:///eu-west-1a/0123-abc/fargate-ip-10-0-0-1', addresses: [] },
      { node: 'real', providerID: 'aws:///eu-west-1a/i-0abc', addresses: [] },
    ];
    const { notes: told, loadBalancer } = wants({}, { targets });
    expect(told.map(({ code, subject }) => `${code} ${subject}`)).toEqual([
      'TargetWithoutInstance node new',
      'TargetWithoutInstance node fargate',
    ]);
    expect(Object.values(wantedOf(loadBalancer, undefined, contextWith()).targetGroups)[0]?.targets).toEqual([
      { id: 'i-0abc', port: 30_080 },
    ]);
  });

  it('one address means one zone, and an event says so', () => {
    expect(notes({ loadBalancerIP: '10.0.0.9' })).toEqual(['SingleZone addresses']);
    expect(notes({})).toEqual([]);
  });
});
