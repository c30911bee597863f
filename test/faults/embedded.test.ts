import { expect, it } from 'vitest';
import { killEmbedded } from './scenarios/kill-embedded.ts';
import { listTroubles } from './support/scenario.ts';

it('what the embedded stack promised survives kill -9 of its only process', async () => {
  const outcome = await killEmbedded.run({ form: 'short', say: () => undefined });
  expect(listTroubles(outcome)).toEqual([]);
  expect(outcome.tally.delivered).toBeGreaterThan(0);
});
