import { defineConfig } from 'vitest/config';

const source = {
  resolve: { conditions: ['source'] },
  ssr: { resolve: { conditions: ['source', 'node', 'import', 'default'] } },
};

/** Two projects: `fast` needs nothing but Node; `real` needs real parts (control plane, root, ...) and says so. */
export default defineConfig({
  test: {
    pool: 'forks',
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
        },
      },
      {
        ...source,
        test: {
          name: 'real',
          include: ['test/real/**/*.test.ts'],
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});
