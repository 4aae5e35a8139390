import {
  AddListenerCertificatesCommand,
  CreateListenerCommand,
  DeleteListenerCommand,
  DescribeListenersCommand,
  ModifyListenerAttributesCommand,
  ModifyListenerCommand,
  RemoveListenerCertificatesCommand,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import { awsCode } from '../cloud/errors.ts';
import { paged } from '../observe/fleet.ts';
import { parseListener } from '../observe/parse.ts';
import type { Attributes, AwsChange, AwsLoadBalancer, ListenerState } from '../state.ts';
import type { ListenerSpec } from '../wanted.ts';
import { asTags, changing, deleting, missing, onExisting, tagsOfStep, without, type Job } from './job.ts';

/** Creates a listener; one that an earlier attempt made is changed to what is wanted. */
export async function createListener(job: Job): Promise<AwsChange> {
  const { key, scope } = job.step;
  const balancer = job.have?.balancer;
  if (balancer === undefined) throw missing(`the load balancer of ${scope}`);
  const spec = job.step.after as unknown as ListenerSpec;
  const listener = await create(job, balancer.arn, spec);
  const change = changing((now) => ({ ...now, listeners: { ...now.listeners, [key]: listener } }));
  const shows = (found: AwsLoadBalancer | undefined): boolean =>
    found?.listeners[key] !== undefined || found?.balancer?.arn !== balancer.arn;
  job.recents.made(listener.arn, { scope, change, shows });
  return change;
}

async function create(job: Job, LoadBalancerArn: string, spec: ListenerSpec): Promise<ListenerState> {
  const tags = tagsOfStep(job);
  const input = { LoadBalancerArn, Port: spec.port, ...inputOf(job, spec), Tags: asTags(tags) };
  try {
    const { Listeners = [] } = await onExisting(job, LoadBalancerArn, () =>
      job.aws.elb('CreateListener', (client, o) => client.send(new CreateListenerCommand(input), o), job.how),
    );
    return { ...parseListener(Listeners[0] ?? {}), attributes: {}, tags };
  } catch (error) {
    if (awsCode(error) !== 'DuplicateListener') throw error;
    const found = await find(job, LoadBalancerArn, spec.port);
    if (found === undefined) throw missing(`the listener ${spec.port}`);
    return { ...(await modify(job, found, spec)), tags };
  }
}

async function find(
  { aws, how }: Job,
  LoadBalancerArn: string,
  port: number,
): Promise<ListenerState | undefined> {
  const all = await paged((Marker) =>
    aws
      .elb(
        'DescribeListeners',
        (client, o) => client.send(new DescribeListenersCommand({ LoadBalancerArn, Marker }), o),
        how,
      )
      .then(({ Listeners = [], NextMarker }) => ({ items: Listeners, next: NextMarker })),
  );
  return all.map(parseListener).find((listener) => listener.port === port);
}

/** Changes protocol, target group, default certificate and policies of a listener in place. */
export async function updateListener(job: Job): Promise<AwsChange> {
  const { key } = job.step;
  const next = await modify(job, existing(job), job.step.after as unknown as ListenerSpec);
  return changing((now) => {
    const present = now.listeners[key];
    return present === undefined
      ? now
      : { ...now, listeners: { ...now.listeners, [key]: { ...present, ...next } } };
  });
}

async function modify(job: Job, present: ListenerState, spec: ListenerSpec): Promise<ListenerState> {
  const input = { ListenerArn: present.arn, Port: spec.port, ...inputOf(job, spec) };
  const { Listeners = [] } = await onExisting(job, present.arn, () =>
    job.aws.elb('ModifyListener', (client, o) => client.send(new ModifyListenerCommand(input), o), job.how),
  );
  const [raw] = Listeners;
  const next = raw === undefined ? present : parseListener(raw);
  const further = present.certificates.slice(1).filter((arn) => !next.certificates.includes(arn));
  return { ...present, ...next, certificates: [...next.certificates, ...further] };
}

function inputOf({ have, step }: Job, spec: ListenerSpec) {
  const TargetGroupArn = have?.targetGroups[spec.targetGroup]?.arn;
  if (TargetGroupArn === undefined) throw missing(`the target group ${spec.targetGroup} of ${step.scope}`);
  const tls = spec.protocol === 'TLS';
  const [CertificateArn] = spec.certificates;
  return {
    Protocol: spec.protocol as 'TCP',
    DefaultActions: [{ Type: 'forward' as const, TargetGroupArn }],
    ...(tls
      ? { Certificates: [{ CertificateArn }], SslPolicy: spec.sslPolicy, AlpnPolicy: [spec.alpn] }
      : {}),
  };
}

/** Certificates beside the default one, which are chosen by the name that a client asks for. */
export async function updateCertificates(job: Job): Promise<AwsChange> {
  const { arn: ListenerArn } = existing(job);
  const { add, remove } = job.step.after as {
    readonly add: readonly string[];
    readonly remove: readonly string[];
  };
  const certificates = (arns: readonly string[]) => arns.map((CertificateArn) => ({ CertificateArn }));
  if (add.length > 0) {
    await onExisting(job, ListenerArn, () =>
      job.aws.elb(
        'AddListenerCertificates',
        (client, o) =>
          client.send(
            new AddListenerCertificatesCommand({ ListenerArn, Certificates: certificates(add) }),
            o,
          ),
        job.how,
      ),
    );
  }
  if (remove.length > 0) {
    await onExisting(job, ListenerArn, () =>
      job.aws.elb(
        'RemoveListenerCertificates',
        (client, o) =>
          client.send(
            new RemoveListenerCertificatesCommand({ ListenerArn, Certificates: certificates(remove) }),
            o,
          ),
        job.how,
      ),
    );
  }
  return changingListener(job, (listener) => ({
    ...listener,
    certificates: [
      ...listener.certificates.filter((one) => !remove.includes(one) && !add.includes(one)),
      ...add,
    ],
  }));
}

/** Sets attributes; those not named stay as they are. */
export async function updateListenerAttributes(job: Job): Promise<AwsChange> {
  const { arn: ListenerArn } = existing(job);
  const attributes = job.step.after as Attributes;
  await onExisting(job, ListenerArn, () =>
    job.aws.elb(
      'ModifyListenerAttributes',
      (client, o) =>
        client.send(new ModifyListenerAttributesCommand({ ListenerArn, Attributes: asTags(attributes) }), o),
      job.how,
    ),
  );
  return changingListener(job, (listener) => ({
    ...listener,
    attributes: { ...listener.attributes, ...attributes },
  }));
}

/** Deletes the listener of a port that is gone. */
export async function deleteListener(job: Job): Promise<AwsChange> {
  const { arn: ListenerArn } = job.step.before as { readonly arn: string };
  await deleting(`the listener ${ListenerArn}`, () =>
    job.aws.elb(
      'DeleteListener',
      (client, o) => client.send(new DeleteListenerCommand({ ListenerArn }), o),
      job.how,
    ),
  );
  job.recents.gone(ListenerArn);
  const { key } = job.step;
  return changing((now) =>
    now.listeners[key]?.arn === ListenerArn ? { ...now, listeners: without(now.listeners, key) } : now,
  );
}

function existing({ have, step }: Job): ListenerState {
  const listener = have?.listeners[step.key];
  if (listener === undefined) throw missing(`the listener ${step.key}`);
  return listener;
}

function changingListener({ step }: Job, change: (listener: ListenerState) => ListenerState): AwsChange {
  return changing((now) => {
    const listener = now.listeners[step.key];
    return listener === undefined
      ? now
      : { ...now, listeners: { ...now.listeners, [step.key]: change(listener) } };
  });
}
