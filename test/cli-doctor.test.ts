/** `berth doctor` as people use it, on a sandbox. */
import { afterAll, beforeAll, beforeEach, afterEach, describe, expect, it } from 'vitest';
import type { OwnedCheck } from '../src/cli/commands/doctor.ts';
import { startSandbox, type Sandbox } from '../src/sandbox/index.ts';
import { berth, scratch, type Scratch } from './fixtures/command-line.ts';

let files: Scratch;
let sandbox: Sandbox;
let options: readonly string[];

beforeAll(async () => {
  files = await scratch();
});
afterAll(() => files.remove());
beforeEach(async () => {
  sandbox = await startSandbox();
  sandbox.objects.create('namespaces', { metadata: { name: 'berth-system' } });
  const pools = [{ name: 'lab', addresses: ['192.0.2.1-192.0.2.2'] }];
  const config = { providers: { metal: { config: { pools, advertisements: [{ name: 'lab' }] } } } };
  const name = `${Math.random()}`;
  options = [
    '--kubeconfig',
    await files.file(`${name}.kubeconfig`, sandbox.kubeconfig),
    '--config',
    await files.file(`${name}.yaml`, JSON.stringify(config)),
  ];
});
afterEach(() => sandbox.stop());

async function doctor(): Promise<{ readonly code: number | null; readonly checks: readonly OwnedCheck[] }> {
  const { code, out } = await berth(['doctor', '--output', 'json', ...options]);
  return { code, checks: (JSON.parse(out) as { checks: readonly OwnedCheck[] }).checks };
}

describe('berth doctor', () => {
  it('says what is missing where no controller runs, with remedies, and ends with 1', async () => {
    const { code, out } = await berth(['doctor', ...options]);
    expect(code).toBe(1);
    const found = out.split('\n').map((line) => line.split(/ {3,}/).slice(0, 4).join(' '));
    expect(found).toEqual(
      expect.arrayContaining([
        'failed berth controller -',
        'failed metal speaker-key -',
        'ok berth api-server -',
        'ok berth clock -',
        'ok berth unserved -',
        'ok metal pools -',
        'skipped metal strict-arp -',
      ]),
    );
    expect(out).toContain('controller: Start `berth run`');
    expect(out).toMatch(/\nDoctor: \d+ ok, 0 warnings, 2 failed, \d+ skipped\n$/);
    expect(sandbox.requests.count()).toBeGreaterThan(5);
    expect(sandbox.requests.summary({ verb: 'write' })).toEqual({});
  });

  it('tells what may not be read apart from what is wrong', async () => {
    const secret = { metadata: { name: 'berth-speaker', namespace: 'berth-system' } };
    sandbox.objects.create('secrets', { ...secret, data: { key: Buffer.alloc(32, 7).toString('base64') } });
    const key = async (): Promise<OwnedCheck | undefined> =>
      (await doctor()).checks.find(({ check }) => check === 'speaker-key');
    expect(await key()).toMatchObject({ outcome: 'ok' });
    expect(JSON.stringify(await key())).not.toContain('Bwc');
    sandbox.faults.add({ verb: 'get', resource: 'secrets', status: 403, times: Infinity });
    expect(await key()).toMatchObject({ outcome: 'skipped', message: expect.stringContaining('403') });
  });

  it('looks at this machine when it is told that it is a node', async () => {
    const local = async (...more: readonly string[]): Promise<readonly OwnedCheck[]> => {
      const { out } = await berth(['doctor', '--output', 'json', ...options, ...more]);
      const { checks } = JSON.parse(out) as { checks: readonly OwnedCheck[] };
      return checks.filter(({ check }) => check === 'interface');
    };
    expect(await local()).toEqual([]);
    expect(await local('--node', 'here')).toContainEqual(
      expect.objectContaining({ subject: 'here/lo', message: 'not used: it is the loopback' }),
    );
  });

  it('says that the API server is away, and what else it could not look at', async () => {
    await sandbox.crash();
    const { code, checks } = await doctor();
    expect(code).toBe(1);
    expect(checks[0]).toMatchObject({ by: 'berth', check: 'api-server', outcome: 'failed' });
    expect(checks.slice(1).map(({ outcome }) => outcome)).toEqual(checks.slice(1).map(() => 'skipped'));
    expect(checks.map(({ check }) => check)).toContain('speaker-key');
  });
});
