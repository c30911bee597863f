// The short forms as tests: one broker and one database for a file, each run on them in turn.
import { afterAll, beforeAll, describe, expect, type TestContext } from 'vitest';
import { type Servers, startServers } from './cluster.ts';
import { listTroubles, type Scenario } from './scenario.ts';

const START_TIMEOUT_MS = 120_000;

/** Puts a fault on and expects what is due to be 0 to be 0; skips, with the reason, where a part is missing. */
export type PutOn = (scenario: Scenario, context: TestContext) => Promise<void>;

export function describeFaults(name: string, body: (putOn: PutOn) => void): void {
  describe(name, () => {
    let servers: Servers | null = null;
    let missing = '';
    beforeAll(async () => {
      try {
        servers = await startServers();
      } catch (error) {
        missing = `Kafka or PostgreSQL cannot be started: ${(error as Error).message.split('\n')[0]}`;
      }
    }, START_TIMEOUT_MS);
    afterAll(() => servers?.stop());

    body(async (scenario, context) => {
      if (servers === null) return context.skip(missing);
      const lacking = (await scenario.missing?.()) ?? null;
      if (lacking !== null) return context.skip(lacking);
      const outcome = await scenario.run({ form: 'short', servers, say: () => undefined });
      expect(listTroubles(outcome)).toEqual([]);
      // A load that never got going would show nothing.
      expect(outcome.tally.delivered).toBeGreaterThan(0);
    });
  });
}
