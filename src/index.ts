/** The public entry of the core: everything that a provider, in the tree or a stranger's, may import. */
export * from './model/address.ts';
export * from './model/capabilities.ts';
export type * from './model/endpoint.ts';
export * from './model/errors.ts';
export type * from './model/load-balancer.ts';
export * from './model/names.ts';
export type * from './model/node.ts';
export * from './model/pool.ts';
export * from './model/reasons.ts';
export * from './model/selector.ts';
export * from './model/service.ts';
export type * from './model/settings.ts';
export * from './plan/pool-usage.ts';
export * from './plan/step.ts';
export { systemClock, sleep } from './provider/clock.ts';
export * from './provider/pool-config.ts';
export type * from './provider/process.ts';
export * from './provider/spi.ts';
