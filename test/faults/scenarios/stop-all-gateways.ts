// All gateways are down for longer than some commands may take, while workers go on replying: what was done in time has
// succeeded when they are back, and only what was not is said to have failed.
import { setTimeout as pause } from 'node:timers/promises';
import type { Cluster } from '../support/cluster.ts';
import type { Outcome, Scenario, Stage } from '../support/scenario.ts';
import { runUnderLoad } from '../support/under-load.ts';

export const stopAllGateways: Scenario = {
  name: 'stop-all-gateways',
  title: 'all gateways killed, down beyond some deadlines, workers go on replying',
  run(stage: Stage): Promise<Outcome> {
    const short = stage.form === 'short';
    const [timeoutS, downMs, calls] = short ? [6, 8_000, 60] : [40, 60_000, 600];
    return runUnderLoad(stage, {
      cluster: {
        gateways: 2,
        // Slow enough that half of the work is left when the gateways go, and some when its deadline comes.
        workers: [{ count: 1, methods: ['Do'], concurrency: 4 }],
        leaseMs: 4_000,
        config: { contract: { policies: { methods: { 'faults.v1.Work/Do': { timeout: `${timeoutS}s` } } } } },
      },
      load: {
        methods: ['Do'],
        styles: ['async'],
        inFlight: 32,
        callsPerSecond: 1_000,
        maxWorkMs: 1_000,
        maxCalls: calls,
      },
      async fault({ gateways }, load) {
        await load.made();
        stage.say(`kill -9 of all gateways, ${load.calls.length} calls so far`);
        await Promise.all(gateways.map((gateway) => gateway.kill()));
        await pause(downMs);
        await Promise.all(gateways.map((gateway) => gateway.start()));
        await Promise.all(gateways.map((gateway) => gateway.waitUntilReady()));
        return { faults: `${downMs / 1000} s down, deadlines of ${timeoutS} s` };
      },
      // The SDK answers a command past its deadline with DEADLINE_EXCEEDED.
      mayEnd: ({ state, error }) => state === 'expired' || (state === 'failed' && error?.code === 'COMMAND_FAILED'),
      check: (cluster) => findExpiredThoughDone(cluster, timeoutS * 1_000),
      settleWithinMs: 60_000,
    });
  },
};

/** Operations whose effect was made in time, and which are said to have ended without. */
async function findExpiredThoughDone(cluster: Cluster, timeoutMs: number): Promise<string[]> {
  const { rows } = await cluster.query(
    `select id::text, state, extract(epoch from created_at) * 1000 as created_ms from sluice.operation
       where state in ('expired', 'failed')`,
  );
  const effects = new Map(
    cluster.journal().flatMap((line) => (line.kind === 'effect' ? [[line.id, line.atMs] as const] : [])),
  );
  // A reply sent in the last moment may be read as late; a second is the worker's own margin.
  const wronged = rows.filter(
    ({ id, created_ms }) => (effects.get(id) ?? Infinity) < Number(created_ms) + timeoutMs - 1_000,
  );
  return wronged.map(({ id, state }) => `${id} is ${state}, and its effect was made in time`).slice(0, 5);
}
