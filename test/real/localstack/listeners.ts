import {
  AddListenerCertificatesCommand,
  type CreateListenerCommandInput,
  DeleteLoadBalancerCommand,
  DeleteTargetGroupCommand,
  DescribeListenerAttributesCommand,
  DescribeListenerCertificatesCommand,
  DescribeListenersCommand,
  DescribeSSLPoliciesCommand,
  DescribeTargetGroupsCommand,
  type Listener,
  type LoadBalancer,
  ModifyListenerAttributesCommand,
  ModifyListenerCommand,
  RemoveListenerCertificatesCommand,
} from '@aws-sdk/client-elastic-load-balancing-v2';

import { beforeAll, expect, it } from 'vitest';
import type { LocalStack } from '../../harness/localstack.ts';
import { asMap, aWorld, refusal, type World } from './world.ts';

let names = 0;

/** Expectations on listeners and certificates. */
export function listeners(cloud: () => LocalStack): void {
  let world: World;
  let balancer: LoadBalancer;
  beforeAll(async () => {
    world = await aWorld(cloud().account(), { instances: 0 });
    balancer = await world.balancer();
  });
  const certificate = (name: string): string =>
    `arn:aws:acm:eu-west-1:${world.account.id}:certificate/${name}`;

  it('have an ARN below that of the load balancer and forward to one group', async () => {
    const group = await world.group();
    const listener = await world.listener({ on: balancer, to: group, Port: 1000 });
    expect(listener.ListenerArn).toMatch(
      new RegExp(`^${balancer.LoadBalancerArn!.replace(':loadbalancer/', ':listener/')}/[0-9a-f]{16}$`),
    );
    expect(listener.DefaultActions).toMatchObject([
      { Type: 'forward', TargetGroupArn: group.TargetGroupArn },
    ]);
    const { TargetGroups } = await world.elb.send(
      new DescribeTargetGroupsCommand({ LoadBalancerArn: balancer.LoadBalancerArn }),
    );
    expect(TargetGroups).toMatchObject([{ LoadBalancerArns: [balancer.LoadBalancerArn] }]);
  });

  it('of one port are the same one, or DuplicateListener, also with another protocol', async () => {
    const [tcp, udp] = [await world.group(), await world.group({ Protocol: 'UDP' })];
    const first = await world.listener({ on: balancer, to: tcp, Port: 1001 });
    const second = await world.listener({ on: balancer, to: tcp, Port: 1001 });
    expect(second.ListenerArn).toBe(first.ListenerArn);
    expect(await refusal(world.listener({ on: balancer, to: udp, Port: 1001, Protocol: 'UDP' }))).toBe(
      'DuplicateListener',
    );
    const other = await world.listener({ on: balancer, to: udp, Port: 1002, Protocol: 'UDP' });
    const move = new ModifyListenerCommand({ ListenerArn: other.ListenerArn, Port: 1001 });
    expect(await refusal(world.elb.send(move))).toBe('DuplicateListener');
  });

  it.each([
    ['TCP', 'TCP', 'no error'],
    ['TCP', 'TCP_UDP', 'no error'],
    ['TCP', 'UDP', 'IncompatibleProtocols'],
    ['UDP', 'TCP_UDP', 'no error'],
    ['TCP_UDP', 'TCP_UDP', 'no error'],
    ['TCP_UDP', 'TCP', 'IncompatibleProtocols'],
    ['TCP', 'TLS', 'IncompatibleProtocols'],
    ['HTTP', 'TCP', 'ValidationError'],
  ] as const)('of protocol %s with a group of %s: %s', async (Protocol, groupProtocol, code) => {
    const to = await world.group({ Protocol: groupProtocol });
    expect(await refusal(world.listener({ on: balancer, to, Port: 1100 + ++names, Protocol }))).toBe(code);
  });

  it('cannot forward to a group of another load balancer, or to none that exists', async () => {
    const group = await world.group();
    await world.listener({ on: balancer, to: group, Port: 1010 });
    const other = await world.balancer();
    expect(await refusal(world.listener({ on: other, to: group }))).toBe('TargetGroupAssociationLimit');
    const missing = { TargetGroupArn: `${group.TargetGroupArn}0` };
    expect(await refusal(world.listener({ on: other, to: missing }))).toBe('TargetGroupNotFound');
  });

  it('of TLS need one certificate of the account and region, and a policy that there is', async () => {
    const to = await world.group();
    const tls = (Port: number, wish: Partial<CreateListenerCommandInput>): Promise<Listener> =>
      world.listener({ on: balancer, to, Port, Protocol: 'TLS', ...wish });
    const [one, two] = ['one', 'two'].map((name) => ({ CertificateArn: certificate(name) }));
    expect(await refusal(tls(1443, {}))).toBe('ValidationError');
    expect(await refusal(tls(1443, { Certificates: [one!, two!] }))).toBe('ValidationError');
    const elsewhere = { CertificateArn: certificate('one').replace('eu-west-1', 'eu-west-2') };
    expect(await refusal(tls(1443, { Certificates: [elsewhere] }))).toBe('CertificateNotFound');
    const Certificates = [one!];
    expect(await refusal(tls(1443, { Certificates, SslPolicy: 'None' }))).toBe('SSLPolicyNotFound');
    expect(await refusal(tls(1443, { Certificates, AlpnPolicy: ['h2'] }))).toBe('ALPNPolicyNotFound');
    expect(await tls(1443, { Certificates, AlpnPolicy: ['HTTP2Preferred'] })).toMatchObject({
      Certificates: [one],
      SslPolicy: 'ELBSecurityPolicy-2016-08',
      AlpnPolicy: ['HTTP2Preferred'],
    });
    await world.account.settings.set({ certificates: [certificate('two')] });
    expect(await refusal(tls(1444, { Certificates }))).toBe('CertificateNotFound');
    await world.account.settings.set({ certificates: null });
    const { SslPolicies } = await world.elb.send(new DescribeSSLPoliciesCommand({}));
    expect(SslPolicies?.map(({ Name }) => Name)).toContain('ELBSecurityPolicy-TLS13-1-2-2021-06');
  });

  it('of TLS have further certificates, and lose all of it when they become TCP', async () => {
    const to = await world.group();
    const { ListenerArn } = await world.listener({
      on: balancer,
      to,
      Port: 2443,
      Protocol: 'TLS',
      Certificates: [{ CertificateArn: certificate('default') }],
    });
    const further = ['b', 'c'].map((name) => ({ CertificateArn: certificate(name) }));
    await world.elb.send(new AddListenerCertificatesCommand({ ListenerArn, Certificates: further }));
    await world.elb.send(new RemoveListenerCertificatesCommand({ ListenerArn, Certificates: [further[0]!] }));
    const { Certificates } = await world.elb.send(new DescribeListenerCertificatesCommand({ ListenerArn }));
    expect(Certificates).toEqual([
      { CertificateArn: certificate('default'), IsDefault: true },
      { CertificateArn: certificate('c'), IsDefault: false },
    ]);
    const many = Array.from({ length: 25 }, (_, index) => ({ CertificateArn: certificate(`n${index}`) }));
    const add = new AddListenerCertificatesCommand({ ListenerArn, Certificates: many });
    expect(await refusal(world.elb.send(add))).toBe('TooManyCertificates');
    const { Listeners } = await world.elb.send(new ModifyListenerCommand({ ListenerArn, Protocol: 'TCP' }));
    expect(Listeners?.[0]).not.toHaveProperty('SslPolicy');
    expect(Listeners?.[0]?.Certificates ?? []).toEqual([]);
  });

  it('keep what a change does not name', async () => {
    const [first, second] = [await world.group(), await world.group()];
    const listener = await world.listener({ on: balancer, to: first, Port: 1020 });
    const { Listeners } = await world.elb.send(
      new ModifyListenerCommand({
        ListenerArn: listener.ListenerArn,
        DefaultActions: [{ Type: 'forward', TargetGroupArn: second.TargetGroupArn }],
      }),
    );
    expect(Listeners?.[0]).toMatchObject({
      ListenerArn: listener.ListenerArn,
      Port: 1020,
      Protocol: 'TCP',
      DefaultActions: [{ TargetGroupArn: second.TargetGroupArn }],
    });
    await world.elb.send(new DeleteTargetGroupCommand({ TargetGroupArn: first.TargetGroupArn }));
  });

  it('have an idle time-out that can be set for TCP only', async () => {
    const [tcp, udp] = [await world.group(), await world.group({ Protocol: 'UDP' })];
    const set = ({ ListenerArn }: Listener, Value: string): Promise<unknown> =>
      world.elb.send(
        new ModifyListenerAttributesCommand({
          ListenerArn,
          Attributes: [{ Key: 'tcp.idle_timeout.seconds', Value }],
        }),
      );
    const listener = await world.listener({ on: balancer, to: tcp, Port: 1030 });
    const { Attributes } = await world.elb.send(
      new DescribeListenerAttributesCommand({ ListenerArn: listener.ListenerArn }),
    );
    expect(asMap(Attributes)).toEqual({ 'tcp.idle_timeout.seconds': '350' });
    await set(listener, '400');
    expect(await refusal(set(listener, '59'))).toBe('ValidationError');
    const datagrams = await world.listener({ on: balancer, to: udp, Port: 1031, Protocol: 'UDP' });
    expect(await refusal(set(datagrams, '400'))).toBe('InvalidConfigurationRequest');
  });

  it('are 50 at most, and go with their load balancer', async () => {
    const full = await world.balancer();
    const to = await world.group();
    for (let port = 1; port <= 50; port++) await world.listener({ on: full, to, Port: port });
    expect(await refusal(world.listener({ on: full, to, Port: 51 }))).toBe('TooManyListeners');
    const { LoadBalancerArn } = full;
    const { Listeners } = await world.elb.send(new DescribeListenersCommand({ LoadBalancerArn }));
    expect(Listeners).toHaveLength(50);
    await world.elb.send(new DeleteLoadBalancerCommand({ LoadBalancerArn }));
    const describe = new DescribeListenersCommand({ ListenerArns: [Listeners![0]!.ListenerArn!] });
    expect(await refusal(world.elb.send(describe))).toBe('ListenerNotFound');
  });
}
