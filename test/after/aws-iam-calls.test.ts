/** The calls of the whole suite against the IAM policy; runs after all other tests of `npm test`. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { policyActions } from '../../providers/aws/iam-policy.ts';
import { describeUnless } from '../harness/describe.ts';
import { harnessEnvironment } from '../harness/environment.ts';

const { callsDir } = harnessEnvironment();

/** The operations that every test cloud of the run saw, in the words of IAM; `undefined` when there was none. */
function callsOfTheRun(): ReadonlySet<string> | undefined {
  if (callsDir === undefined) return undefined;
  try {
    const records = readdirSync(callsDir).map((file) => readFileSync(join(callsDir, file), 'utf8'));
    const operations = records.flatMap((text) => JSON.parse(text) as string[]);
    return new Set(operations.map((operation) => operation.replace(/^elbv2:/, 'elasticloadbalancing:')));
  } catch {
    return undefined;
  }
}

const called = callsOfTheRun();
const why = called === undefined ? 'needs the calls of a whole run with LocalStack: npm test' : undefined;

await describeUnless(
  why,
  { name: 'the IAM policy, after the whole suite', part: 'calls of a whole run' },
  () => {
    const allowed = policyActions({ clusterId: 'a-cluster', manageNodeRules: true });

    it('has seen the calls of the suite', () => {
      expect(called?.size ?? 0).toBeGreaterThan(20);
    });

    it('allows every call that any test made Berth make', () => {
      expect([...(called ?? [])].filter((action) => !allowed.includes(action)).toSorted()).toEqual([]);
    });

    it('has nothing that no test made Berth call', () => {
      expect(allowed.filter((action) => called?.has(action) !== true)).toEqual([]);
    });
  },
);
