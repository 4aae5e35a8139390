import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareSteps, ordered, stagesOf, stepText, type Step } from './step.ts';

function aStep(overrides: Partial<Step> = {}): Step {
  return {
    scope: 'default/web',
    verb: 'create',
    resource: 'listener',
    key: '80/TCP',
    stage: 0,
    because: 'x',
    ...overrides,
  };
}

const someSteps = fc.uniqueArray(
  fc.record({
    stage: fc.integer({ min: 0, max: 2 }),
    verb: fc.constantFrom<Step['verb']>('create', 'update', 'replace', 'delete'),
    resource: fc.constantFrom('listener', 'targets', 'Listener'),
    key: fc.constantFrom('1', '10', '2', 'é', 'z'),
  }),
  { selector: ({ resource, key }) => `${resource} ${key}`, maxLength: 12 },
);

describe('the order of steps', () => {
  it('is by stage, then delete, replace, update, create, then resource, then key, by code unit', () => {
    const steps = [
      aStep({ stage: 1, verb: 'delete' }),
      aStep({ verb: 'create', resource: 'a' }),
      aStep({ verb: 'update', key: '9' }),
      aStep({ verb: 'update', key: '10' }),
      aStep({ verb: 'replace' }),
      aStep({ verb: 'delete', resource: 'z' }),
      aStep({ verb: 'create', resource: 'Z' }),
    ];
    expect(ordered(steps).map((step) => `${step.stage} ${step.verb} ${step.resource} ${step.key}`)).toEqual([
      '0 delete z 80/TCP',
      '0 replace listener 80/TCP',
      '0 update listener 10',
      '0 update listener 9',
      '0 create Z 80/TCP',
      '0 create a 80/TCP',
      '1 delete listener 80/TCP',
    ]);
  });

  it('is the same whatever the order of the input, which is left alone', () => {
    const input = someSteps.chain((parts) =>
      fc.tuple(fc.constant(parts), fc.shuffledSubarray(parts, { minLength: parts.length })),
    );
    fc.assert(
      fc.property(input, ([parts, shuffled]) => {
        const steps = shuffled.map(aStep);
        const before = [...steps];
        expect(ordered(steps)).toEqual(ordered(parts.map(aStep)));
        expect(steps).toEqual(before);
      }),
    );
  });

  it('is total: of two different steps one comes first', () => {
    fc.assert(
      fc.property(someSteps, (parts) => {
        const steps = parts.map(aStep);
        for (const a of steps) {
          for (const b of steps) {
            expect(compareSteps(a, b) === 0).toBe(a === b);
            expect(Math.sign(compareSteps(a, b)) + Math.sign(compareSteps(b, a))).toBe(0);
          }
        }
      }),
    );
  });
});

describe('stagesOf', () => {
  it('cuts a plan into its stages in order, each sorted, with nothing lost', () => {
    fc.assert(
      fc.property(someSteps, (parts) => {
        const stages = stagesOf(parts.map(aStep));
        expect(stages.flat()).toEqual(ordered(parts.map(aStep)));
        expect(stages.map(([first]) => first?.stage)).toEqual(
          [...new Set(parts.map(({ stage }) => stage))].toSorted(),
        );
        for (const stage of stages) expect(new Set(stage.map((step) => step.stage)).size).toBe(1);
      }),
    );
  });
});

describe('stepText', () => {
  it('says in one line what is done and why', () => {
    expect(stepText(aStep({ because: 'it is missing' }))).toBe('create listener 80/TCP: it is missing');
  });
});
