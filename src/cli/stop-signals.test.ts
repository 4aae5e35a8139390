import { describe, expect, it, vi } from 'vitest';
import { stopSignals } from './stop-signals.ts';

describe('the signals that end a process', () => {
  it.each(['SIGINT', 'SIGTERM'] as const)('%s asks to stop, and says by whom', (name) => {
    const stop = stopSignals(() => {});
    expect(stop.signal.aborted).toBe(false);
    process.emit(name, name);
    expect(stop.signal.reason).toEqual(new Error(`stopped by ${name}`));
    stop.close();
  });

  it('a second SIGINT does not wait any longer; a second SIGTERM does, as kubelets send it again', () => {
    const atOnce = vi.fn();
    let now = 0;
    const stop = stopSignals(atOnce, () => now);
    process.emit('SIGTERM', 'SIGTERM');
    now = 1_000;
    process.emit('SIGTERM', 'SIGTERM');
    expect(atOnce).not.toHaveBeenCalled();
    process.emit('SIGINT', 'SIGINT');
    expect(atOnce).toHaveBeenCalledOnce();
    stop.close();
  });

  it('one Ctrl-C that arrives several times, handed on by programs in between, is one', () => {
    const atOnce = vi.fn();
    let now = 0;
    const stop = stopSignals(atOnce, () => now);
    process.emit('SIGINT', 'SIGINT');
    now = 200;
    process.emit('SIGINT', 'SIGINT');
    expect(atOnce).not.toHaveBeenCalled();
    now = 501;
    process.emit('SIGINT', 'SIGINT');
    expect(atOnce).toHaveBeenCalledOnce();
    stop.close();
  });

  it('are let go of at the end', () => {
    const before = process.listenerCount('SIGINT');
    const stop = stopSignals(() => {});
    expect(process.listenerCount('SIGINT')).toBe(before + 1);
    stop.close();
    expect(process.listenerCount('SIGINT')).toBe(before);
  });
});
