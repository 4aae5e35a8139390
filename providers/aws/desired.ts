import type { LoadBalancer } from '@berth/core';
import type { AwsConfig } from './config.ts';
import type { Cluster } from './names.ts';
import type { AwsSettings } from './settings.ts';

/** What the core wants, with this provider's settings. */
export type Desired = LoadBalancer<AwsSettings>;

/** What of the surroundings a planner may use: it never changes while the process lives. */
export interface Context {
  readonly cluster: Cluster;
  readonly config: AwsConfig;
}

/** `instance` or `ip`. */
export function targetTypeOf(settings: Desired['settings'], context: Context): 'instance' | 'ip' {
  if (settings.targetType !== undefined) return settings.targetType;
  return settings.type === 'nlb-ip' ? 'ip' : context.config.defaultTargetType;
}
