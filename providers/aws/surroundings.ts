import {
  DescribeAddressesCommand,
  DescribeInstancesCommand,
  DescribeRouteTablesCommand,
  DescribeSecurityGroupsCommand,
  DescribeSubnetsCommand,
  type Address,
  type Instance,
  type RouteTable,
  type SecurityGroup,
  type Subnet,
} from '@aws-sdk/client-ec2';
import { compareText, NotReady } from '@berth/core';
import type { AwsCalls } from './cloud/aws-calls.ts';
import { chunks } from './cloud/batcher.ts';
import type { AwsConfig } from './config.ts';
import { paged } from './observe/fleet.ts';
import type { AwsEnvironment, InstanceState } from './state.ts';

/** Values of one filter in one call (EC2 API, "Filter"). */
const FILTER_VALUES = 200;

/** When to look again for a node with an instance, in milliseconds. */
const VPC_MS = 10_000;

/** Ids by the names that annotations use. */
export interface Names {
  readonly subnets: Readonly<Record<string, string>>;
  readonly groups: Readonly<Record<string, string>>;
}

/** What surrounds the load balancers: read when something needs it, kept until somebody looks anew. */
export class Surroundings {
  readonly #aws: AwsCalls;
  readonly #clusterName: string;
  #vpc: string | undefined;
  #instances: Readonly<Record<string, InstanceState>> = {};
  #groupNames: Readonly<Record<string, string>> = {};
  #subnetNames: Readonly<Record<string, string>> = {};
  #subnets: Promise<readonly Subnet[]> | undefined;
  #routeTables: Promise<readonly RouteTable[]> | undefined;

  constructor(aws: AwsCalls, config: AwsConfig, clusterName: string) {
    this.#aws = aws;
    this.#clusterName = clusterName;
    this.#vpc = config.vpcId;
  }

  /** What planners may know of it. */
  get environment(): AwsEnvironment {
    return {
      instances: this.#instances,
      groupNames: this.#groupNames,
      subnetNames: this.#subnetNames,
      ...(this.#vpc === undefined ? {} : { vpc: this.#vpc }),
    };
  }

  /** Name of the cluster, as its resources are tagged by those who made them. */
  get clusterName(): string {
    return this.#clusterName;
  }

  /** Forgets everything that may have changed. What a name stands for is kept: it is looked up when it is used. */
  forget(): void {
    this.#instances = {};
    this.#subnets = undefined;
    this.#routeTables = undefined;
  }

  /** Forgets the subnets, because they were no good: somebody may be mending them. */
  forgetSubnets(): void {
    this.#subnets = undefined;
    this.#routeTables = undefined;
  }

  /** The VPC. @throws NotReady `VpcUnknown` while no node tells it. */
  get vpc(): string {
    if (this.#vpc !== undefined) return this.#vpc;
    throw new NotReady('VpcUnknown', {
      message: 'the VPC is not known, because no node has an instance that tells it',
      remedy: 'Wait for a node with a providerID, or set --aws-vpc-id (providers.aws.config.vpcId)',
      retryAfterMs: VPC_MS,
    });
  }

  /** Reads about instances: whether they can be targets, in which VPC, and which of their groups is to be opened. */
  async lookAt(ids: readonly string[], signal: AbortSignal): Promise<void> {
    const pages = await Promise.all(
      chunks(ids, FILTER_VALUES).map((chunk) => this.#readInstances([...chunk], signal)),
    );
    const found = pages.flat();
    this.#vpc ??= found.find(({ VpcId }) => VpcId !== undefined)?.VpcId;
    const groups = await this.#nodeGroups(found, signal);
    const looked = ids.map((id): [string, InstanceState] => {
      const instance = found.find(({ InstanceId }) => InstanceId === id);
      const usable = instance !== undefined && isUsable(instance) && instance.VpcId === this.#vpc;
      return [id, { usable, vpc: instance?.VpcId ?? '', group: groups.get(id) ?? '' }];
    });
    this.#instances = { ...this.#instances, ...Object.fromEntries(looked) };
  }

  /** All subnets of the VPC. */
  subnets(signal: AbortSignal): Promise<readonly Subnet[]> {
    this.#subnets ??= this.#once(
      () =>
        paged((NextToken) =>
          this.#aws
            .ec2(
              'DescribeSubnets',
              (client, o) =>
                client.send(new DescribeSubnetsCommand({ Filters: [this.#inVpc()], NextToken }), o),
              { signal },
            )
            .then(({ Subnets = [], NextToken: next }) => ({ items: Subnets, next })),
        ),
      () => (this.#subnets = undefined),
    );
    return this.#subnets;
  }

  /** All route tables of the VPC. */
  routeTables(signal: AbortSignal): Promise<readonly RouteTable[]> {
    this.#routeTables ??= this.#once(
      () =>
        paged((NextToken) =>
          this.#aws
            .ec2(
              'DescribeRouteTables',
              (client, o) =>
                client.send(new DescribeRouteTablesCommand({ Filters: [this.#inVpc()], NextToken }), o),
              { signal },
            )
            .then(({ RouteTables = [], NextToken: next }) => ({ items: RouteTables, next })),
        ),
      () => (this.#routeTables = undefined),
    );
    return this.#routeTables;
  }

  /** Elastic IPs of this region by their public addresses. */
  async addresses(ips: readonly string[], signal: AbortSignal): Promise<readonly Address[]> {
    const { Addresses = [] } = await this.#aws.ec2(
      'DescribeAddresses',
      (client, o) =>
        client.send(new DescribeAddressesCommand({ Filters: [{ Name: 'public-ip', Values: [...ips] }] }), o),
      { signal },
    );
    return Addresses;
  }

  /** Security groups of the VPC by what people call them: their Name tag or their name. */
  async groupsByName(
    names: readonly string[],
    signal: AbortSignal,
  ): Promise<Readonly<Record<string, string>>> {
    const unknown = names.filter((name) => this.#groupNames[name] === undefined);
    if (unknown.length > 0) {
      const [byTag, byName] = await Promise.all(
        ['tag:Name', 'group-name'].map((Name) =>
          this.#readGroups([{ Name, Values: unknown }, this.#inVpc()], signal),
        ),
      );
      const found = [...(byName ?? []), ...(byTag ?? [])].flatMap(
        ({ GroupId = '', GroupName = '', Tags = [] }) => {
          const tag = Tags.find(({ Key }) => Key === 'Name')?.Value;
          return [GroupName, tag].flatMap((name) =>
            name !== undefined && unknown.includes(name) ? [[name, GroupId] as const] : [],
          );
        },
      );
      this.#groupNames = { ...this.#groupNames, ...Object.fromEntries(found) };
    }
    return this.#groupNames;
  }

  /** Notes what names stood for when they were last used. */
  recall({ subnets, groups }: Pick<Names, 'subnets' | 'groups'>): void {
    this.#subnetNames = { ...subnets, ...this.#subnetNames };
    this.#groupNames = { ...groups, ...this.#groupNames };
  }

  /** What the names among these stand for, as far as it is known. */
  namesOf(subnets: readonly string[], groups: readonly string[]): Names {
    const known = (names: readonly string[], of: Readonly<Record<string, string>>): Record<string, string> =>
      Object.fromEntries(
        names.flatMap((name) => (of[name] === undefined ? [] : [[name, of[name]] as const])),
      );
    return { subnets: known(subnets, this.#subnetNames), groups: known(groups, this.#groupNames) };
  }

  /** Notes which subnets the names of an annotation stand for. */
  nameSubnets(names: Readonly<Record<string, string>>): void {
    this.#subnetNames = { ...this.#subnetNames, ...names };
  }

  #inVpc(): { Name: string; Values: string[] } {
    return { Name: 'vpc-id', Values: [this.vpc] };
  }

  async #once<T>(read: () => Promise<T>, failed: () => void): Promise<T> {
    try {
      return await read();
    } catch (error) {
      failed();
      throw error;
    }
  }

  async #readInstances(ids: string[], signal: AbortSignal): Promise<readonly Instance[]> {
    const Filters = [{ Name: 'instance-id', Values: ids }];
    const reservations = await paged((NextToken) =>
      this.#aws
        .ec2(
          'DescribeInstances',
          (client, o) => client.send(new DescribeInstancesCommand({ Filters, NextToken }), o),
          { signal },
        )
        .then(({ Reservations = [], NextToken: next }) => ({ items: Reservations, next })),
    );
    return reservations.flatMap(({ Instances = [] }) => Instances);
  }

  async #readGroups(
    Filters: { Name: string; Values: string[] }[],
    signal: AbortSignal,
  ): Promise<readonly SecurityGroup[]> {
    return await paged((NextToken) =>
      this.#aws
        .ec2(
          'DescribeSecurityGroups',
          (client, o) => client.send(new DescribeSecurityGroupsCommand({ Filters, NextToken }), o),
          { signal },
        )
        .then(({ SecurityGroups = [], NextToken: next }) => ({ items: SecurityGroups, next })),
    );
  }

  /**
   * The group of each instance that is opened: the only one; of several that which is tagged as the cluster's; else the
   * one that most nodes have, so that few groups get rules.
   */
  async #nodeGroups(
    instances: readonly Instance[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, string>> {
    const groupsOf = ({ SecurityGroups = [] }: Instance): string[] =>
      SecurityGroups.flatMap(({ GroupId }) => GroupId ?? []);
    const ambiguous = new Set(
      instances
        .map(groupsOf)
        .filter((ids) => ids.length > 1)
        .flat(),
    );
    const tagged = new Set<string>();
    if (ambiguous.size > 0) {
      const found = await this.#readGroups([{ Name: 'group-id', Values: [...ambiguous] }], signal);
      const tag = `kubernetes.io/cluster/${this.#clusterName}`;
      for (const { GroupId = '', Tags = [] } of found)
        if (Tags.some(({ Key }) => Key === tag)) tagged.add(GroupId);
    }
    const counts = new Map<string, number>();
    for (const id of instances.flatMap(groupsOf)) counts.set(id, (counts.get(id) ?? 0) + 1);
    const rank = (id: string): number => (tagged.has(id) ? Infinity : (counts.get(id) ?? 0));
    return new Map(
      instances.map((instance) => {
        const [best = ''] = groupsOf(instance).toSorted((a, b) => rank(b) - rank(a) || compareText(a, b));
        return [instance.InstanceId ?? '', best];
      }),
    );
  }
}

function isUsable({ State }: Instance): boolean {
  return State?.Name === 'running' || State?.Name === 'pending';
}
