import { describe, expect, it } from 'vitest';
import type { StatusEntry } from '../../controller/inspect.ts';
import type { LeaseRecord } from '../../kube/index.ts';
import { Denied } from '../../model/errors.ts';
import type { Service } from '../../model/service.ts';
import { aService } from '../../../test/builders.ts';
import { countChecks, doctorText, sortChecks, type OwnedCheck } from './doctor.ts';
import { clockCheck, leaseCheck, problemCheck, statusChecks, unservedChecks } from './doctor-checks.ts';

const NOW = Date.parse('2026-11-21T12:00:00Z');

describe('the clock', () => {
  it.each([
    ['Sat, 21 Nov 2026 12:00:00 GMT', 'ok'],
    ['Sat, 21 Nov 2026 11:59:55 GMT', 'ok'],
    ['Sat, 21 Nov 2026 12:00:05 GMT', 'ok'],
    ['Sat, 21 Nov 2026 11:59:00 GMT', 'warning'],
    ['Sat, 21 Nov 2026 12:01:00 GMT', 'warning'],
    [undefined, 'skipped'],
    ['yesterday', 'skipped'],
  ])('with the server at %s: %s', (date, outcome) => {
    expect(clockCheck(date, NOW)).toMatchObject({ check: 'clock', outcome });
  });

  it('says which way it is wrong', () => {
    expect(clockCheck('Sat, 21 Nov 2026 11:59:00 GMT', NOW).message).toContain('59 s ahead of');
    expect(clockCheck('Sat, 21 Nov 2026 12:01:00 GMT', NOW).message).toContain('60 s behind');
  });
});

describe('the controllers’ Lease', () => {
  const lease = (holder: string, renewTime: string): LeaseRecord => ({
    resourceVersion: '1',
    holder,
    durationMs: 15_000,
    acquireTime: renewTime,
    renewTime,
    transitions: 0,
    annotations: {},
  });

  it.each([
    ['held and fresh', lease('berth-a', '2026-11-21T11:59:50Z'), 'ok'],
    ['held and stale', lease('berth-a', '2026-11-21T11:59:00Z'), 'failed'],
    ['given back', lease('', '2026-11-21T11:59:50Z'), 'failed'],
    ['not there', undefined, 'failed'],
  ])('%s', (_what, record, outcome) => {
    expect(leaseCheck(record, 'berth-system', NOW)).toMatchObject({ check: 'controller', outcome });
  });
});

function entry(key: StatusEntry['key'], state: StatusEntry['state'], reason: string): StatusEntry {
  const empty = { addresses: [], ports: [], announced: false, message: '' };
  return { key, provider: 'metal', state, reason, ...empty };
}

describe('Services', () => {
  const service = (name: string, more: Partial<Service> = {}): Service =>
    aService({ name, namespace: 'default', type: 'LoadBalancer', ingress: [], ...more });

  it('that nobody serves are told of by class; those of another controller, and other types, are not', () => {
    const services = [
      service('a', { loadBalancerClass: 'example.com/x' }),
      service('b', { loadBalancerClass: 'example.com/x' }),
      service('served'),
      service('elsewhere', { ingress: [{ ip: '192.0.2.1' } as Service['ingress'][0]] }),
      service('plain', { type: 'ClusterIP' }),
    ];
    const status = [entry('default/served', 'True', 'Provisioned')];
    const found = unservedChecks(services, status);
    expect(found).toMatchObject([{ outcome: 'warning', subject: 'example.com/x' }]);
    expect(found[0]?.message).toContain('default/a, default/b an address');
    expect(unservedChecks(services.slice(2), status)).toMatchObject([{ outcome: 'ok' }]);
  });

  it('that are not as they ask are counted by reason, with the remedy of the reason', () => {
    const found = statusChecks([
      entry('default/a', 'True', 'Provisioned'),
      entry('default/b', 'False', 'PoolExhausted'),
      entry('default/c', 'False', 'PoolExhausted'),
      entry('default/d', 'Unknown', 'Ensuring'),
      entry('default/e', 'Unknown', 'Paused'),
    ]);
    expect(found).toMatchObject([
      { outcome: 'failed', subject: 'PoolExhausted', remedy: expect.stringContaining('Add addresses') },
      { outcome: 'warning', subject: 'Ensuring' },
    ]);
    expect(found[0]?.message).toMatch(/^2 Services, default\/b, default\/c: /);
    expect(statusChecks([entry('default/a', 'True', 'Provisioned')])).toMatchObject([{ outcome: 'ok' }]);
  });
});

describe('what is printed', () => {
  const check = (outcome: OwnedCheck['outcome'], name: string, subject?: string): OwnedCheck => ({
    by: 'metal',
    check: name,
    outcome,
    message: `about ${name}`,
    remedy: 'Do something',
    ...(subject === undefined ? {} : { subject }),
  });
  const checks = [
    check('ok', 'b'),
    check('failed', 'a', 'y'),
    check('skipped', 'c'),
    check('failed', 'a', 'x'),
  ];

  it('has what needs doing first, and the same order for every order of the checks', () => {
    const names = sortChecks(checks).map(({ check: name, subject }) => `${name}${subject ?? ''}`);
    expect(names).toEqual(['ax', 'ay', 'b', 'c']);
    expect(sortChecks(checks.toReversed())).toEqual(sortChecks(checks));
  });

  it('ends in a line of counts, after what to do about what is wrong and nothing else', () => {
    const text = doctorText(sortChecks(checks), (_style, word) => word);
    expect(text).toMatch(
      /To do:\na x: Do something\.\na y: Do something\.\n\nDoctor: 1 ok, 0 warnings, 2 failed, 1 skipped\n$/,
    );
    expect(countChecks(checks)).toEqual({ ok: 1, warning: 0, failed: 2, skipped: 1 });
  });

  it('has an error’s remedy once', () => {
    const error = new Denied('Nope', { message: 'it is not allowed', remedy: 'Ask for it' });
    expect(problemCheck('pools', error)).toEqual({
      check: 'pools',
      outcome: 'skipped',
      message: 'it is not allowed.',
      remedy: 'Ask for it',
    });
  });
});
