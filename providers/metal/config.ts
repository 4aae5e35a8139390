import { z } from 'zod';

const labels = z.record(z.string(), z.string());

/** A label selector as Kubernetes writes it (meta/v1 LabelSelector). */
export const labelSelectorSchema = z.object({
  matchLabels: labels.optional(),
  matchExpressions: z
    .array(
      z.object({
        key: z.string().min(1),
        operator: z.enum(['In', 'NotIn', 'Exists', 'DoesNotExist']),
        values: z.array(z.string()).optional(),
      }),
    )
    .optional(),
});

/** The `spec` of an `IPAddressPool` (metallb.io/v1beta1), with the defaults that MetalLB gives it. */
export const poolSpecSchema = z.object({
  addresses: z.array(z.string()).min(1),
  autoAssign: z.boolean().default(true),
  avoidBuggyIPs: z.boolean().default(false),
  serviceAllocation: z
    .object({
      priority: z.number().int().min(0).default(0),
      namespaces: z.array(z.string()).default([]),
      namespaceSelectors: z.array(labelSelectorSchema).default([]),
      serviceSelectors: z.array(labelSelectorSchema).default([]),
    })
    .optional(),
});

/** The `spec` of an `L2Advertisement` (metallb.io/v1beta1). Empty lists mean: all. */
export const advertisementSpecSchema = z.object({
  ipAddressPools: z.array(z.string()).default([]),
  ipAddressPoolSelectors: z.array(labelSelectorSchema).default([]),
  nodeSelectors: z.array(labelSelectorSchema).default([]),
  interfaces: z.array(z.string()).default([]),
  serviceSelectors: z.array(labelSelectorSchema).default([]),
  preferredNodeSelectors: z
    .array(z.object({ weight: z.number().int().min(1).max(100), preference: labelSelectorSchema }))
    .default([]),
});

/** What the configuration file may have under `providers.metal.config`. */
export const configSchema = z.strictObject({
  /** Pools beside those of the cluster; `name` and the fields of an IPAddressPool's spec. */
  pools: z
    .array(poolSpecSchema.extend({ name: z.string().min(1), labels: labels.default({}) }).strict())
    .default([]),
  /** Advertisements beside those of the cluster; the fields of an L2Advertisement's spec. */
  advertisements: z.array(advertisementSpecSchema.extend({ name: z.string().min(1) }).strict()).default([]),
  /** Namespace of IPAddressPools, L2Advertisements and ServiceL2Statuses; all namespaces unless given. */
  namespace: z.string().min(1).optional(),
  /** Addresses go back to their best node as soon as its speaker is there again. Default: they stay where they are. */
  failback: z.boolean().default(false),
  /** Before an address is announced for the first time ever, its speaker looks whether a stranger has it (RFC 5227). */
  conflictProbe: z.boolean().default(true),
});

/** The validated configuration. */
export type MetalConfig = z.output<typeof configSchema>;

/** An IPAddressPool's spec, validated. */
export type PoolSpec = z.output<typeof poolSpecSchema>;

/** An L2Advertisement's spec, validated. */
export type AdvertisementSpec = z.output<typeof advertisementSpecSchema>;
