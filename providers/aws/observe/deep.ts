import {
  DescribeListenerAttributesCommand,
  DescribeListenerCertificatesCommand,
  DescribeListenersCommand,
  DescribeLoadBalancerAttributesCommand,
  DescribeTargetGroupAttributesCommand,
  DescribeTargetHealthCommand,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import { isGone, type AwsCalls } from '../cloud/aws-calls.ts';
import type { BalancerState, ListenerState, TargetGroupState } from '../state.ts';
import { paged } from './fleet.ts';
import { parseAttributes, parseListener, parseTargets } from './parse.ts';

/** What a read in depth is made with. */
export interface Deep {
  readonly aws: AwsCalls;
  readonly signal: AbortSignal;
}

/** A load balancer's attributes, and its listeners; `undefined` when it is gone meanwhile. */
export async function readBalancer(
  deep: Deep,
  balancer: BalancerState,
): Promise<{ readonly balancer: BalancerState; readonly listeners: readonly ListenerState[] } | undefined> {
  return await unlessGone(async () => {
    const [attributes, listeners] = await Promise.all([
      readBalancerAttributes(deep, balancer.arn),
      readListeners(deep, balancer.arn),
    ]);
    return { balancer: { ...balancer, attributes }, listeners };
  });
}

/** The attributes of a load balancer. */
export async function readBalancerAttributes(
  { aws, signal }: Deep,
  LoadBalancerArn: string,
): Promise<Readonly<Record<string, string>>> {
  const answer = await aws.elb(
    'DescribeLoadBalancerAttributes',
    (client, o) => client.send(new DescribeLoadBalancerAttributesCommand({ LoadBalancerArn }), o),
    { signal },
  );
  return parseAttributes(answer.Attributes);
}

/** A target group's targets and attributes; `undefined` when it is gone meanwhile. */
export async function readTargetGroup(
  deep: Deep,
  group: TargetGroupState,
): Promise<TargetGroupState | undefined> {
  return await unlessGone(async () => {
    const [targets, attributes] = await Promise.all([
      readTargets(deep, group.arn),
      readTargetGroupAttributes(deep, group.arn),
    ]);
    return { ...group, ...targets, attributes };
  });
}

/** A target group's targets. */
export async function readTargets(
  { aws, signal }: Deep,
  TargetGroupArn: string,
): Promise<ReturnType<typeof parseTargets>> {
  const { TargetHealthDescriptions = [] } = await aws.elb(
    'DescribeTargetHealth',
    (client, o) => client.send(new DescribeTargetHealthCommand({ TargetGroupArn }), o),
    { signal },
  );
  return parseTargets(TargetHealthDescriptions);
}

/** The attributes of a target group. */
export async function readTargetGroupAttributes(
  { aws, signal }: Deep,
  TargetGroupArn: string,
): Promise<Readonly<Record<string, string>>> {
  const answer = await aws.elb(
    'DescribeTargetGroupAttributes',
    (client, o) => client.send(new DescribeTargetGroupAttributesCommand({ TargetGroupArn }), o),
    { signal },
  );
  return parseAttributes(answer.Attributes);
}

/** The listeners of a load balancer with certificates and attributes. */
export async function readListeners(deep: Deep, LoadBalancerArn: string): Promise<readonly ListenerState[]> {
  const { aws, signal } = deep;
  const found = await paged((Marker) =>
    aws
      .elb(
        'DescribeListeners',
        (client, o) => client.send(new DescribeListenersCommand({ LoadBalancerArn, Marker }), o),
        { signal },
      )
      .then(({ Listeners = [], NextMarker }) => ({ items: Listeners, next: NextMarker })),
  );
  const read = await Promise.all(
    found.map(parseListener).map((listener) => unlessGone(() => completed(deep, listener))),
  );
  return read.flatMap((listener) => listener ?? []);
}

/** TLS listeners have further certificates and no attributes; the others are the other way round. */
async function completed({ aws, signal }: Deep, listener: ListenerState): Promise<ListenerState> {
  const { arn: ListenerArn, protocol, certificates } = listener;
  if (protocol !== 'TLS') {
    const answer = await aws.elb(
      'DescribeListenerAttributes',
      (client, o) => client.send(new DescribeListenerAttributesCommand({ ListenerArn }), o),
      { signal },
    );
    return { ...listener, attributes: parseAttributes(answer.Attributes) };
  }
  const all = await paged((Marker) =>
    aws
      .elb(
        'DescribeListenerCertificates',
        (client, o) => client.send(new DescribeListenerCertificatesCommand({ ListenerArn, Marker }), o),
        { signal },
      )
      .then(({ Certificates = [], NextMarker }) => ({ items: Certificates, next: NextMarker })),
  );
  const further = all
    .filter(({ IsDefault }) => IsDefault !== true)
    .flatMap(({ CertificateArn }) => CertificateArn ?? []);
  return { ...listener, certificates: [...certificates, ...further], attributes: {} };
}

/** The answer, or `undefined` where what is asked about was deleted meanwhile. */
export async function unlessGone<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}
