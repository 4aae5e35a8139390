import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createTestHost } from '../../test/builders.ts';
import { eventually } from '../../test/fixtures/kube-objects.ts';
import { connectPlain, KubeClient } from '../kube/index.ts';
import { startSandbox, type Sandbox } from '../sandbox/index.ts';
import { DeclaredWatches } from './declared-watches.ts';

const POOLS = {
  group: 'example.com',
  version: 'v1',
  kind: 'Pool',
  plural: 'pools',
  namespaced: true,
} as const;
const PATH = '/apis/example.com/v1/pools';

let sandbox: Sandbox;
let stop: AbortController;
beforeEach(async () => {
  sandbox = await startSandbox({ customResources: [POOLS] });
  stop = new AbortController();
});
afterEach(async () => {
  stop.abort(new Error('the test is over'));
  await sandbox.stop();
});

function declared(...paths: readonly string[]) {
  const watches = new DeclaredWatches(createTestHost().log);
  let changes = 0;
  const watched = paths.map((path) => watches.declare({ path, onChange: () => (changes += 1) }));
  const client = new KubeClient(connectPlain(sandbox.url));
  return { watched, changes: () => changes, open: () => watches.open(client, stop.signal) };
}

function create(name: string): void {
  const metadata = { name, managedFields: [{ manager: 'somebody' }] };
  sandbox.objects.create('pools', {
    apiVersion: 'example.com/v1',
    kind: 'Pool',
    metadata,
    spec: { size: 1 },
  });
}

describe('DeclaredWatches', () => {
  it('have the first list when they are open, plain and without managedFields, and are empty before', async () => {
    create('first');
    const { watched, open, changes } = declared(PATH);
    expect(watched[0]?.list()).toEqual([]);
    await open();
    expect(watched[0]?.list()).toEqual([
      expect.objectContaining({
        kind: 'Pool',
        spec: { size: 1 },
        metadata: expect.objectContaining({ name: 'first' }),
      }),
    ]);
    expect(JSON.stringify(watched[0]?.list())).not.toContain('managedFields');
    expect(changes()).toBeGreaterThan(0);
  });

  it('tell of every later change', async () => {
    const { watched, open, changes } = declared(PATH);
    await open();
    const before = changes();
    create('later');
    await eventually(() => expect(watched[0]?.list()).toHaveLength(1));
    expect(changes()).toBeGreaterThan(before);
    sandbox.objects.delete({ resource: 'pools', name: 'later' });
    await eventually(() => expect(watched[0]?.list()).toEqual([]));
  });

  it('count a resource that the API server does not know as empty, and hold nobody up', async () => {
    const { watched, open } = declared('/apis/example.com/v1/unknown', PATH);
    create('first');
    await open();
    expect(watched.map((one) => one.list().length)).toEqual([0, 1]);
  });
});
