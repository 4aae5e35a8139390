import { z } from 'zod';
import { parseRange, type IpRange } from '../model/address.ts';
import type { AddressPool } from '../model/pool.ts';

/** A range of addresses as people write it: a CIDR, FIRST-LAST, or one address. */
export const rangeSchema = z.string().transform((text, context): IpRange => {
  const range = parseRange(text);
  if (range !== undefined) return range;
  context.addIssue(`expected a CIDR, FIRST-LAST or one address, got ${JSON.stringify(text)}`);
  return z.NEVER;
});

/** A pool as the configuration file has it, with the field names of MetalLB's IPAddressPool. */
export const poolSchema = z
  .strictObject({
    name: z.string().min(1),
    addresses: z.array(rangeSchema).min(1),
    autoAssign: z.boolean().default(true),
  })
  .transform(({ addresses, ...pool }): AddressPool => ({ ...pool, ranges: addresses }));

/** At least one pool, each with a name of its own. */
export const poolsSchema = z
  .array(poolSchema)
  .min(1)
  .superRefine((pools, context) => {
    const names = pools.map(({ name }) => name);
    const twice = names.find((name, index) => names.indexOf(name) !== index);
    if (twice !== undefined) context.addIssue(`two pools have the name ${JSON.stringify(twice)}`);
  });
