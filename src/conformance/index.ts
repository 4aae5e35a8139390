/**
 * The conformance kit for provider authors: what a provider promises to the core, as cases that any test runner can
 * run. `@berth/core/conformance/vitest` is the adapter for vitest.
 */
export { conformanceCases, runCase } from './cases.ts';
export { Driver, requestOf } from './driver.ts';
export { portWith, serviceWith, targetWith } from './fixtures.ts';
export { createTestHost, ManualClock, type LoggedLine, type TestHost } from './host.ts';
export type * from './subject.ts';
