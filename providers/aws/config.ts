import { z } from 'zod';

const portRange = z
  .string()
  .regex(/^\d{1,5}-\d{1,5}$/)
  .transform((text) => {
    const [from = 0, to = 0] = text.split('-').map(Number);
    return { from, to };
  })
  .refine(({ from, to }) => from >= 1 && from <= to && to <= 65_535, 'expected FIRST-LAST');

const tags = z.record(z.string().min(1).max(128), z.string().max(256));

/** What the configuration file may have under `providers.aws.config`. */
export const configSchema = z.strictObject({
  /** Region; AWS_REGION and the profile otherwise. */
  region: z.string().min(1).optional(),
  /** Address of the API; AWS_ENDPOINT_URL and AWS's own otherwise. */
  endpoint: z.string().url().optional(),
  /** The VPC; that of the nodes' instances otherwise. */
  vpcId: z
    .string()
    .regex(/^vpc-[0-9a-z]+$/)
    .optional(),
  /** How nodes are probed with externalTrafficPolicy Cluster: `kube-proxy` asks its HTTP port 10256, so that they drain. */
  clusterPolicyHealthCheck: z.enum(['tcp', 'kube-proxy']).default('tcp'),
  defaultTargetType: z.enum(['instance', 'ip']).default('instance'),
  defaultScheme: z.enum(['internal', 'internet-facing']).default('internal'),
  defaultSslPolicy: z
    .string()
    .regex(/^[-A-Za-z0-9]+$/)
    .default('ELBSecurityPolicy-2016-08'),
  /** Tags on everything that is made. */
  defaultTags: tags.default({}),
  /** Keys of tags that others look after: never set, never removed. */
  externalManagedTags: z.array(z.string().min(1)).default([]),
  /** A security group of yours to attach to every load balancer, instead of one that Berth makes. */
  backendSecurityGroup: z
    .string()
    .regex(/^sg-[0-9a-z]+$/)
    .optional(),
  /** Whether the nodes' security groups are opened for the shared group. */
  manageNodeRules: z.boolean().default(true),
  /** With `security-groups` of their own: whether Services get the shared group as well, when they do not say it. */
  manageBackendRulesOfOwnGroups: z.boolean().default(false),
  /** The API server's `--service-node-port-range`. */
  nodePortRange: portRange.default({ from: 30_000, to: 32_767 }),
});

/** The validated configuration. */
export type AwsConfig = z.output<typeof configSchema>;
