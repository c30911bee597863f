import { defineConfig } from 'vitest/config';

const common: { pool: 'forks'; setupFiles: string[]; teardownTimeout: number } = {
  pool: 'forks',
  setupFiles: ['test/support/leaks.ts'],
  teardownTimeout: 20_000,
};

export default defineConfig({
  test: {
    reporters: ['default', './test/support/reporter.ts'],
    projects: [
      {
        test: {
          ...common,
          name: 'tests',
          include: ['test/**/*.test.ts', 'worker/test/**/*.test.ts'],
          exclude: ['**/node_modules/**', 'test/faults/**'],
          maxWorkers: 2,
          globalSetup: ['test/global-setup.ts'],
          testTimeout: 20_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        // Short forms of the fault runs, after all else: each file starts its own servers, gateways and workers. The long
        // forms: `npm run test:faults`.
        test: {
          ...common,
          name: 'faults',
          include: ['test/faults/*.test.ts'],
          maxWorkers: 2,
          testTimeout: 240_000,
          hookTimeout: 120_000,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
