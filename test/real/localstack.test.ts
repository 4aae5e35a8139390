import { afterAll, beforeAll, describe } from 'vitest';
import { describeWithLocalStack, type LocalStack, startLocalStack } from '../harness/localstack.ts';
import { loadBalancers } from './localstack/load-balancers.ts';
import { addresses } from './localstack/addresses.ts';
import { targetGroups } from './localstack/target-groups.ts';
import { withoutPackages, withoutPython } from './localstack/installation.ts';
import { listeners } from './localstack/listeners.ts';
import { tagsAndPages } from './localstack/tags-and-pages.ts';
import { securityGroups } from './localstack/security-groups.ts';
import { time } from './localstack/time.ts';
import { faults } from './localstack/faults.ts';

describe('the installation of LocalStack', () => {
  withoutPython();
});

let cloud: LocalStack;
const running = (): LocalStack => cloud;

// What the corrected behaviours are held against is the API reference of both services; where that is silent, messages
// that users of the real service report.
await describeWithLocalStack(
  'the test cloud',
  () => {
    beforeAll(async () => {
      cloud = await startLocalStack({ calls: 'test' });
    });
    afterAll(() => cloud?.stop());

    describe('its installation', () => {
      withoutPackages();
    });
    describe('load balancers', () => {
      loadBalancers(running);
    });
    describe('addresses and network interfaces', () => {
      addresses(running);
    });
    describe('target groups and targets', () => {
      targetGroups(running);
    });
    describe('listeners', () => {
      listeners(running);
    });
    describe('tags and pages', () => {
      tagsAndPages(running);
    });
    describe('security groups', () => {
      securityGroups(running);
    });
    describe('time', () => {
      time(running);
    });
    describe('faults and records', () => {
      faults(running);
    });
  },
  { control: true },
);
