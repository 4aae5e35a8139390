import { describe, expect, it } from 'vitest';
import type { Provider } from './spi.ts';
import { createMemoryProvider, MemoryCloud } from './memory.ts';
import { Registry } from './registry.ts';

function aProvider(name: string, classes: readonly string[] = [`berth.dev/${name}`]): Provider {
  return createMemoryProvider(new MemoryCloud(), { name, classes });
}

const local = aProvider('local');
const aws = aProvider('aws', ['berth.dev/aws', 'service.k8s.aws/nlb']);

describe('Registry', () => {
  it('B21 lets the class decide, each provider having its own and an incumbent’s', () => {
    const registry = new Registry([local, aws]);
    const served = (loadBalancerClass: string): string | undefined =>
      registry.serving({ loadBalancerClass })?.name;
    expect(served('berth.dev/local')).toBe('local');
    expect(served('berth.dev/aws')).toBe('aws');
    expect(served('service.k8s.aws/nlb')).toBe('aws');
    expect(served('example.com/other')).toBeUndefined();
  });

  it('B21 never lets an annotation decide', () => {
    const registry = new Registry([local, aws], 'none');
    const annotations = { 'service.beta.kubernetes.io/aws-load-balancer-type': 'external' };
    expect(registry.serving({ annotations } as Parameters<Registry['serving']>[0])).toBeUndefined();
  });

  it.each<[string, readonly Provider[], string | undefined, string | undefined]>([
    ['the only provider', [local], undefined, 'local'],
    ['nobody when there are several', [local, aws], undefined, undefined],
    [
      'nobody when the only provider is aws, beside which another controller usually serves them',
      [aws],
      undefined,
      undefined,
    ],
    ['aws when it is named', [aws], 'aws', 'aws'],
    ['the one that is named', [local, aws], 'aws', 'aws'],
    ['nobody when told so', [local], 'none', undefined],
  ])('gives Services without a class to %s', (_what, ...[providers, setting, expected]) => {
    const registry = new Registry(providers, setting);
    expect(registry.serving({})?.name).toBe(expected);
    expect(registry.serving({ loadBalancerClass: '' })?.name).toBe(expected);
    expect(registry.defaultProvider?.name).toBe(expected);
  });

  it('does not give a Service with somebody else’s class to the default provider', () => {
    expect(
      new Registry([local], 'local').serving({ loadBalancerClass: 'example.com/other' }),
    ).toBeUndefined();
  });

  it('finds a provider by its name', () => {
    const registry = new Registry([local, aws]);
    expect(registry.named('aws')).toBe(aws);
    expect(registry.named('metal')).toBeUndefined();
    expect(registry.providers).toEqual([local, aws]);
  });

  it.each([
    [
      'one class',
      [local, aProvider('other', ['berth.dev/other', 'berth.dev/local'])],
      'loadBalancerClass berth.dev/local',
    ],
    ['one name', [local, aProvider('local', ['example.com/local'])], 'the name local'],
  ] as const)('refuses two providers with %s, naming it and the remedy', (_what, providers, named) => {
    const attempt = (): unknown => new Registry(providers);
    expect(attempt).toThrow(expect.objectContaining({ name: 'ProviderLoadError', code: 'ClassConflict' }));
    expect(attempt).toThrow(named);
    expect(attempt).toThrow(/(Take|Configure) .*\.$/);
  });

  it('refuses a default provider that is not configured, naming those that are', () => {
    expect(() => new Registry([local], 'metal')).toThrow(
      expect.objectContaining({
        code: 'ProviderNotFound',
        message: expect.stringContaining('configured: local'),
      }),
    );
    expect(() => new Registry([], 'metal')).toThrow('configured: none');
  });
});
