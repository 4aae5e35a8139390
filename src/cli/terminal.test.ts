import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createLog } from './logging.ts';
import { withProgress } from './progress.ts';
import { counted, paintFor, tableText, type Terminal } from './terminal.ts';

function terminal(options: {
  readonly isTTY: boolean;
  readonly colour?: boolean;
}): Terminal & { written: () => string } {
  let written = '';
  const stream = { write: (text: string) => (written += text), isTTY: options.isTTY, columns: 40 };
  return { out: stream, err: stream, colour: options.colour ?? true, written: () => written };
}

describe('a table', () => {
  it('has columns as wide as they must be, no borders and no blanks at the ends of lines', () => {
    expect(
      tableText(
        ['A', 'LONGER'],
        [
          ['one', 'x'],
          ['three', ''],
        ],
      ),
    ).toBe('A       LONGER\none     x\nthree\n');
  });

  it('keeps each row on one line', () => {
    expect(tableText(['A'], [['one\ntwo']])).toBe('A\none two\n');
  });

  it('is not moved by colours', () => {
    const red = paintFor(terminal({ isTTY: true }))('bad', 'one');
    const plain = tableText(['A', 'B'], [['one', 'x']]);
    const painted = tableText(['A', 'B'], [[red, 'x']]);
    expect(painted).not.toBe(plain);
    // oxlint-disable-next-line eslint/no-control-regex -- colours begin with the escape character
    expect(painted.replaceAll(/\u001B\[\d+m/g, '')).toBe(plain);
  });
});

describe('colours', () => {
  it.each([
    [true, true, true],
    [true, false, false],
    [false, true, false],
  ])('on a terminal (%s) where they are not forbidden (%s): %s', (isTTY, colour, coloured) => {
    const text = paintFor(terminal({ isTTY, colour }))('good', 'x');
    expect(text !== 'x').toBe(coloured);
  });
});

it('one of something is not many', () => {
  expect([counted(1, 'Service'), counted(0, 'Service'), counted(2, 'policy', 'policies')]).toEqual([
    '1 Service',
    '0 Services',
    '2 policies',
  ]);
});

describe('the progress line', () => {
  beforeEach(
    () => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'setTimeout', 'performance'] }),
  );
  afterEach(() => void vi.useRealTimers());

  const lasting = (ms: number) => () =>
    new Promise<string>((resolve) => setTimeout(() => resolve('done'), ms));

  it('appears after two seconds on a terminal, and goes when the work is done', async () => {
    const screen = terminal({ isTTY: true });
    const work = withProgress(screen, 'looking', lasting(3_500));
    await vi.advanceTimersByTimeAsync(1_900);
    expect(screen.written()).toBe('');
    await vi.advanceTimersByTimeAsync(2_000);
    expect(await work).toBe('done');
    expect(screen.written()).toBe('\r\u001B[Klooking ... 2 s\r\u001B[Klooking ... 3 s\r\u001B[K');
  });

  it('is not there for what is quick, nor on anything but a terminal', async () => {
    const [quick, piped] = [terminal({ isTTY: true }), terminal({ isTTY: false })];
    const work = [
      withProgress(quick, 'looking', lasting(1_000)),
      withProgress(piped, 'looking', lasting(5_000)),
    ];
    await vi.advanceTimersByTimeAsync(6_000);
    expect(await Promise.all(work)).toEqual(['done', 'done']);
    expect([quick.written(), piped.written()]).toEqual(['', '']);
  });

  it('makes room for lines that are said meanwhile', async () => {
    const screen = terminal({ isTTY: true });
    const work = withProgress(screen, 'looking', async (say) => {
      await lasting(2_500)();
      say('found one');
    });
    await vi.advanceTimersByTimeAsync(2_600);
    await work;
    expect(screen.written()).toBe('\r\u001B[Klooking ... 2 s\r\u001B[Kfound one\n');
  });

  it('goes also when the work fails', async () => {
    const screen = terminal({ isTTY: true });
    const work = withProgress(screen, 'looking', async () => {
      await lasting(2_500)();
      throw new Error('no');
    });
    const failure = work.catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(2_600);
    expect(await failure).toEqual(new Error('no'));
    expect(screen.written().endsWith('\r\u001B[K')).toBe(true);
  });
});

describe('the log', () => {
  const lines = (forPeople: boolean, level: 'info' | 'debug' = 'info', colour = false): string => {
    let written = '';
    const log = createLog(level, { write: (text) => (written += text), forPeople, colour });
    log.debug({ a: 1 }, 'quiet');
    log.warn({ count: 2, who: 'x y', why: 'plain' }, 'watch broken');
    return written;
  };

  it('is one JSON object a line, with the level as a word and the time as people write it', () => {
    const line = JSON.parse(lines(false)) as Record<string, unknown>;
    expect(line).toMatchObject({ level: 'warn', count: 2, who: 'x y', message: 'watch broken' });
    expect(line['time']).toMatch(/^\d{4}-\d\d-\d\dT/);
  });

  it('is one short line each where people watch', () => {
    expect(lines(true)).toMatch(/^\d\d:\d\d:\d\d warn {2}watch broken count=2 who="x y" why=plain\n$/);
    expect(lines(true, 'info', true)).toContain('\u001B[33m');
  });

  it('says no more than it is asked to', () => {
    expect(lines(false)).not.toContain('quiet');
    expect(lines(false, 'debug')).toContain('quiet');
  });
});
