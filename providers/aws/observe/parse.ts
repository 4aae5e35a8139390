import type { SecurityGroup } from '@aws-sdk/client-ec2';
import type {
  Listener,
  LoadBalancer,
  TargetGroup,
  TargetHealthDescription,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import { parseIp } from '@berth/core';
import type {
  BalancerState,
  GroupState,
  ListenerState,
  Rule,
  Tags,
  TargetGroupState,
  TargetState,
  ZoneState,
} from '../state.ts';

/** The SDK's shapes, in which everything may be missing, as the provider's values, in which what it needs is there. */
export function parseBalancer(raw: LoadBalancer): BalancerState {
  return {
    arn: raw.LoadBalancerArn ?? '',
    name: raw.LoadBalancerName ?? '',
    dnsName: raw.DNSName ?? '',
    scheme: raw.Scheme ?? '',
    ipAddressType: raw.IpAddressType ?? 'ipv4',
    vpc: raw.VpcId ?? '',
    status: raw.State?.Code ?? 'active',
    zones: (raw.AvailabilityZones ?? []).map(parseZone),
    groups: raw.SecurityGroups ?? [],
    sourceNat: raw.EnablePrefixForIpv6SourceNat ?? '',
    privateLinkRules: raw.EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic ?? '',
    createdAtMs: raw.CreatedTime?.getTime() ?? 0,
  };
}

type Zone = NonNullable<LoadBalancer['AvailabilityZones']>[number];

function parseZone({ ZoneName = '', SubnetId = '', LoadBalancerAddresses = [] }: Zone): ZoneState {
  const allocation = LoadBalancerAddresses.find(
    ({ AllocationId }) => AllocationId !== undefined,
  )?.AllocationId;
  const addresses = LoadBalancerAddresses.flatMap(({ IpAddress, PrivateIPv4Address, IPv6Address }) =>
    [IpAddress, PrivateIPv4Address, IPv6Address].flatMap((text) => parseIp(text ?? '') ?? []),
  );
  return { zone: ZoneName, subnet: SubnetId, addresses, ...(allocation === undefined ? {} : { allocation }) };
}

/** A target group as the pages show it: without targets, attributes and tags. */
export function parseTargetGroup(raw: TargetGroup): TargetGroupState {
  return {
    arn: raw.TargetGroupArn ?? '',
    name: raw.TargetGroupName ?? '',
    protocol: raw.Protocol ?? '',
    port: raw.Port ?? 0,
    targetType: raw.TargetType ?? 'instance',
    ipAddressType: raw.IpAddressType ?? 'ipv4',
    draining: false,
    healthCheck: {
      protocol: raw.HealthCheckProtocol ?? 'TCP',
      port: raw.HealthCheckPort ?? 'traffic-port',
      interval: raw.HealthCheckIntervalSeconds ?? 0,
      timeout: raw.HealthCheckTimeoutSeconds ?? 0,
      healthy: raw.HealthyThresholdCount ?? 0,
      unhealthy: raw.UnhealthyThresholdCount ?? 0,
      ...(raw.HealthCheckPath === undefined ? {} : { path: raw.HealthCheckPath }),
      ...(raw.Matcher?.HttpCode === undefined ? {} : { codes: raw.Matcher.HttpCode }),
    },
  };
}

/** Registered targets; draining ones count as absent. */
export function parseTargets(raw: readonly TargetHealthDescription[]): Pick<TargetGroupState, 'draining'> & {
  readonly targets: readonly TargetState[];
} {
  const drains = ({ TargetHealth }: TargetHealthDescription): boolean => TargetHealth?.State === 'draining';
  return {
    draining: raw.some(drains),
    targets: raw
      .filter((one) => !drains(one))
      .map(({ Target }) => ({ id: parseIp(Target?.Id ?? '') ?? Target?.Id ?? '', port: Target?.Port ?? 0 })),
  };
}

/** A listener as DescribeListeners shows it: with its default certificate alone, without attributes and tags. */
export function parseListener(raw: Listener): ListenerState {
  const [action] = raw.DefaultActions ?? [];
  const forwarded = action?.ForwardConfig?.TargetGroups?.flatMap(
    ({ TargetGroupArn }) => TargetGroupArn ?? [],
  );
  const single = action?.TargetGroupArn === undefined ? [] : [action.TargetGroupArn];
  const alpn = raw.AlpnPolicy?.[0];
  return {
    arn: raw.ListenerArn ?? '',
    port: raw.Port ?? 0,
    protocol: raw.Protocol ?? '',
    targetGroups: forwarded !== undefined && forwarded.length > 0 ? forwarded : single,
    certificates: (raw.Certificates ?? []).flatMap(({ CertificateArn }) => CertificateArn ?? []),
    ...(raw.SslPolicy === undefined ? {} : { sslPolicy: raw.SslPolicy }),
    ...(alpn === undefined ? {} : { alpn }),
  };
}

/** A security group with its inbound rules. */
export function parseGroup(raw: SecurityGroup): GroupState {
  return {
    id: raw.GroupId ?? '',
    name: raw.GroupName ?? '',
    rules: parseRules(raw, () => true),
    tags: parseTags(raw.Tags ?? []),
  };
}

/** Inbound rules whose description passes; each source is a rule of its own. */
export function parseRules(
  raw: SecurityGroup,
  passes: (description: string, source: string) => boolean,
): readonly Rule[] {
  return (raw.IpPermissions ?? []).flatMap((permission) => {
    const { IpProtocol: protocol = '', FromPort: from = -1, ToPort: to = -1 } = permission;
    const sources = [
      ...(permission.IpRanges ?? []).map(
        ({ CidrIp = '', Description = '' }) => [CidrIp, Description] as const,
      ),
      ...(permission.Ipv6Ranges ?? []).map(
        ({ CidrIpv6 = '', Description = '' }) => [CidrIpv6, Description] as const,
      ),
      ...(permission.PrefixListIds ?? []).map(
        ({ PrefixListId = '', Description = '' }) => [PrefixListId, Description] as const,
      ),
      ...(permission.UserIdGroupPairs ?? []).map(
        ({ GroupId = '', Description = '' }) => [GroupId, Description] as const,
      ),
    ];
    return sources
      .filter(([source, description]) => passes(description, source))
      .map(([source]) => ({ protocol, from, to, source }));
  });
}

/** A key and a value as the SDK has them. */
interface RawTag {
  readonly Key?: string | undefined;
  readonly Value?: string | undefined;
}

/** Tags as a record. */
export function parseTags(raw: readonly RawTag[]): Tags {
  return Object.fromEntries(raw.map(({ Key = '', Value = '' }) => [Key, Value]));
}

/** Attributes as a record. */
export function parseAttributes(raw: readonly RawTag[] | undefined): Readonly<Record<string, string>> {
  return parseTags(raw ?? []);
}
