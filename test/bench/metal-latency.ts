import type { MetalBench } from './metal-watch.ts';
export async function latency(_bench: MetalBench): Promise<void> {}
