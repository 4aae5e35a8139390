import { z } from 'zod';
import { poolsSchema, rangeSchema } from '@berth/core';
import { settings, type LocalSettings } from './settings.ts';

/** Where addresses come from when nothing is configured: loopback, which every Linux has and nobody else reaches. */
const DEFAULT_RANGE = '127.77.0.1-127.77.255.254';

/** Defaults of annotations. They are checked as the annotation's text is, so that both accept the same. */
const defaults = z
  .partialRecord(z.enum(Object.keys(settings) as (keyof LocalSettings)[]), z.union([z.string(), z.number()]))
  .transform((given, context): Partial<LocalSettings> => {
    const entries = Object.entries(given).map(([name, value]) => {
      const { schema, type } = settings[name as keyof LocalSettings];
      const result = schema['~standard'].validate(String(value));
      if (!(result instanceof Promise) && result.issues === undefined) return [name, result.value];
      context.addIssue({
        code: 'custom',
        path: [name],
        message: `expected ${type}, got ${JSON.stringify(value)}`,
      });
      return [name, undefined];
    });
    return Object.fromEntries(entries) as Partial<LocalSettings>;
  });

/** What the configuration file may have under `providers.local.config`. */
export const configSchema = z.strictObject({
  /** Addresses for load balancers: loopback or any other addresses of this machine. */
  pools: poolsSchema.default(() => [
    { name: 'default', ranges: [rangeSchema.parse(DEFAULT_RANGE)], autoAssign: true },
  ]),
  /** Defaults of the annotations, by the setting's name: `drainSeconds: 60`. */
  defaults: defaults.default({}),
  /** Health checks begun in one second at most, all targets together. */
  healthChecksPerSecond: z.number().min(1).max(10_000).default(25),
});

/** The validated configuration. */
export type LocalConfig = z.output<typeof configSchema>;
