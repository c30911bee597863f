import { expect, it } from 'vitest';
import { findPlace } from '../support/gateway.ts';
import { runPromotionRace } from '../support/promotion-race.ts';
import { describeWithBoth } from '../support/real-parts.ts';

describeWithBoth('a reply that races the end of its wait', ({ brokers }) => {
  // The long form, `test/faults/promotion-race.ts`, goes on until 2,000 were as close.
  it('ends every call as an answer, or as a promise that is kept', { timeout: 90_000 }, async () => {
    const { namespace, databaseUrl } = await findPlace('servers');
    const plan = { closeReplies: 100, maxCalls: 4_000, inFlight: 100 };
    const report = await runPromotionRace({ brokers, namespace, databaseUrl: databaseUrl! }, plan);
    expect(report.lost).toEqual([]);
    expect(report.answered + report.promised).toBe(report.calls);
    expect(report.leftOpen).toBe(0);
    // The race was run: both ends happened, and some replies came while their row was on its way.
    // How many came how close is the machine's affair: on a busy one the calls run out first.
    expect(report.closeReplies).toBeGreaterThan(0);
    expect(report.answered).toBeGreaterThan(0);
    expect(report.promised).toBeGreaterThan(0);
  });
});
