import assert from 'node:assert/strict';
import { CAPABILITIES, type Capabilities } from '../../model/capabilities.ts';
import { PREFIX } from '../../model/names.ts';
import { CONTRACT } from '../../provider/spi.ts';
import type { ConformanceCase } from '../subject.ts';

/** Values that each capability may have; for lists, the entries that they may have. */
const ALLOWED: Readonly<Record<keyof Capabilities, readonly unknown[]>> = {
  loadBalancerIP: ['honoured', 'ignored'],
  protocols: ['TCP', 'UDP', 'SCTP'],
  mixedProtocols: [true, false],
  sourceRanges: [true, false],
  targets: ['nodePort', 'podIP', 'none'],
  families: ['IPv4', 'IPv6'],
  sessionAffinity: [true, false],
  sharing: [true, false],
  healthCheck: [true, false],
};

/** An annotation key: a DNS prefix and a name (https://kubernetes.io/docs/concepts/overview/working-with-objects/annotations/). */
const ANNOTATION = /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?\/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/;

/** What a provider says about itself. */
export const shapeCases: readonly ConformanceCase[] = [
  {
    name: 'it speaks the contract version of this core',
    run: async ({ raw }) => assert.equal(raw.contract, CONTRACT),
  },
  {
    name: 'it has a short lower-case name, and each class that it serves is a valid loadBalancerClass',
    run: async ({ raw: { name, classes } }) => {
      assert.match(name, /^[a-z]([-a-z0-9]{0,30}[a-z0-9])?$/);
      assert.ok(classes.length > 0, 'classes is empty');
      assert.equal(new Set(classes).size, classes.length, 'a class is listed twice');
      for (const one of classes)
        assert.match(one, /^([a-z0-9]([-a-z0-9.]*[a-z0-9])?\/)?[A-Za-z0-9][-A-Za-z0-9_.]*$/);
    },
  },
  {
    name: 'it declares every capability, with a value that is documented',
    run: async ({ raw: { capabilities } }) => {
      assert.deepEqual(Object.keys(capabilities).toSorted(), Object.keys(CAPABILITIES).toSorted());
      for (const [name, allowed] of Object.entries(ALLOWED)) {
        const value = capabilities[name as keyof Capabilities];
        const values: readonly unknown[] = Array.isArray(value) ? value : [value];
        assert.ok(values.length > 0, `${name} is empty`);
        for (const one of values) assert.ok(allowed.includes(one), `${name} has the value ${String(one)}`);
      }
    },
  },
  {
    name: 'each of its settings is documented and has a default that is a plain value',
    run: async ({ raw: { settings } }) => {
      for (const [name, { type, doc, default: value }] of Object.entries(settings)) {
        assert.notEqual(type.trim(), '', `${name} has no type in words`);
        assert.notEqual(doc.trim(), '', `${name} has no documentation`);
        assert.deepEqual(
          JSON.parse(JSON.stringify({ value })),
          value === undefined ? {} : { value },
          `${name}: default`,
        );
      }
    },
  },
  {
    name: 'its annotations are under its own prefix or an incumbent’s, never the core’s or another provider’s',
    run: async ({ raw: { name, settings } }) => {
      const keys = Object.values(settings).flatMap(({ annotations }) => annotations);
      assert.equal(new Set(keys).size, keys.length, 'two settings read one annotation');
      for (const key of keys) {
        // A family of annotations is named by what its members begin with and a star.
        assert.match(key.replace(/\*$/, 'x'), ANNOTATION);
        const ours =
          key.startsWith(PREFIX) || key.split('/', 1)[0]?.endsWith(`.${PREFIX.slice(0, -1)}`) === true;
        assert.ok(!ours || key.startsWith(`${name}.${PREFIX}`), `${key} is not under ${name}.${PREFIX}`);
      }
    },
  },
  {
    name: 'its settings are validated synchronously and never throw, whatever the annotation says',
    run: async ({ raw: { settings } }) => {
      for (const [name, { schema }] of Object.entries(settings)) {
        for (const text of ['', ' ', 'no such value', '\u0000', '9'.repeat(400)]) {
          const result = schema['~standard'].validate(text);
          assert.ok(!(result instanceof Promise), `${name} is validated asynchronously`);
          assert.ok(
            result.issues === undefined || result.issues.length > 0,
            `${name} has an empty list of issues`,
          );
        }
      }
    },
  },
  {
    name: 'closing it twice is harmless',
    run: async ({ raw }) => {
      await raw.close();
      await raw.close();
    },
  },
];
