import { describe, expect, it } from 'vitest';
import { ManualClock } from '../conformance/host.ts';
import { Mending, PATIENCE, QUIET_MS } from './mending.ts';

function aMending() {
  const clock = new ManualClock();
  const due: string[] = [];
  const contests: string[] = [];
  const mending = new Mending({
    clock,
    random: () => 0.5,
    due: (key) => due.push(key),
    onContest: (key) => contests.push(key),
  });
  return { clock, due, contests, mending };
}

function edit(mending: Mending, key: string, times: number): void {
  for (let i = 0; i < times; i++) mending.edited(key);
}

describe('what somebody changed of what Berth wrote', () => {
  it('is put right at once while it happens now and then', () => {
    const { due, contests, mending } = aMending();
    edit(mending, 'default/web', PATIENCE);
    expect(due).toHaveLength(PATIENCE);
    expect(contests).toEqual([]);
  });

  it('waits longer each time after that, and the contest is told once', async () => {
    const { clock, due, contests, mending } = aMending();
    edit(mending, 'default/web', PATIENCE);
    const waits: number[] = [];
    for (let i = 0; i < 12; i++) {
      const before = clock.monotonic();
      mending.edited('default/web');
      const seen = due.length;
      while (due.length === seen) await clock.advance(500);
      waits.push(clock.monotonic() - before);
    }
    expect(waits).toEqual([
      500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 150_000, 150_000, 150_000,
    ]);
    expect(contests).toEqual(['default/web']);
  });

  it('is put right once for all edits that come while it waits, and is not put off by them', async () => {
    const { clock, due, mending } = aMending();
    edit(mending, 'default/web', PATIENCE + 1);
    for (let i = 0; i < 4; i++) {
      await clock.advance(100);
      mending.edited('default/web');
    }
    expect(due).toHaveLength(PATIENCE);
    await clock.advance(100);
    expect(due).toHaveLength(PATIENCE + 1);
    await clock.advance(QUIET_MS);
    expect(due).toHaveLength(PATIENCE + 1);
  });

  it('is counted for each Service by itself, and anew after a quiet time', async () => {
    const { clock, due, contests, mending } = aMending();
    edit(mending, 'default/web', PATIENCE);
    edit(mending, 'default/other', PATIENCE);
    expect(due).toHaveLength(2 * PATIENCE);
    await clock.advance(QUIET_MS);
    edit(mending, 'default/web', PATIENCE);
    expect(due).toHaveLength(3 * PATIENCE);
    expect(contests).toEqual([]);
  });

  it('is put right no more once the Service is gone, or the controller', async () => {
    const { clock, due, mending } = aMending();
    edit(mending, 'default/web', PATIENCE + 1);
    edit(mending, 'default/other', PATIENCE + 1);
    mending.forget('default/web');
    mending.close();
    await clock.advance(QUIET_MS);
    expect(due).toHaveLength(2 * PATIENCE);
  });
});
