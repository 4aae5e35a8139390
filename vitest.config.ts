import { defineConfig } from 'vitest/config';

const source = {
  resolve: { conditions: ['source'] },
  ssr: { resolve: { conditions: ['source', 'node', 'import', 'default'] } },
};

/** Real processes on a machine that others use, too: in CI a test that fails is tried again, and says so. */
const retry = process.env['CI'] === 'true' ? 2 : 0;

/**
 * For the test process, where threads that run TypeScript come and go: each holds Node's type stripper, WebAssembly, whose
 * compiled calls of JavaScript V8 shares among threads and may free while another thread takes them up (its own check
 * aborts: `ref_count_bitfield_` in wasm-import-wrapper-cache.cc). With this many calls to go none is compiled.
 */
const execArgv = ['--wasm-wrapper-tiering-budget=2147483647'];

/**
 * Projects: `fast` needs nothing but Node; `real` needs real parts (control plane, root, ...) and says so; `after` looks at
 * what a whole run of `real` left behind, and runs by itself after it (test/run.ts).
 */
export default defineConfig({
  test: {
    pool: 'forks',
    execArgv,
    maxWorkers: 2,
    projects: [
      {
        ...source,
        test: {
          name: 'fast',
          include: [
            'src/**/*.test.ts',
            'providers/**/*.test.ts',
            'test/*.test.ts',
            'test/examples/**/*.test.ts',
          ],
          exclude: ['**/node_modules/**', '**/dist/**'],
          testTimeout: 15_000,
          retry,
        },
      },
      {
        ...source,
        test: {
          name: 'real',
          include: ['test/real/**/*.test.ts'],
          testTimeout: 120_000,
          retry,
          hookTimeout: 120_000,
        },
      },
      { ...source, test: { name: 'after', include: ['test/after/**/*.test.ts'] } },
    ],
  },
});
