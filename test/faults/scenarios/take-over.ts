// How long the replies of a killed instance's partition wait until another one settles them. Lease 8 s.
import { setTimeout as pause } from 'node:timers/promises';
import type { Call } from '../support/calls.ts';
import { Cluster } from '../support/cluster.ts';
import type { GatewayProcess } from '../support/gateway-process.ts';
import { findLeaseTroubles } from '../support/lease-watch.ts';
import { Load } from '../support/load.ts';
import type { Outcome, Scenario, Stage } from '../support/scenario.ts';
import { tally } from '../support/tally.ts';

const LEASE_MS = 8_000;
const BOUND_MS = 12_000;
const CALLS = 20;
/** Longer than the kill takes, shorter than the lease. */
const WORK_MS = 1_500;

export const takeOver: Scenario = {
  name: 'take-over',
  title: "take-over of a killed instance's reply partition",
  async run({ form, servers, say }: Stage): Promise<Outcome> {
    const rounds = form === 'short' ? 1 : 10;
    const cluster = await Cluster.start(servers, {
      gateways: 2,
      workers: [{ count: 1, methods: ['Do'], concurrency: CALLS }],
      leaseMs: LEASE_MS,
    });
    try {
      const calls: Call[] = [];
      const tookMs: number[] = [];
      for (let round = 0; round < rounds; round++) {
        const victim = cluster.gateways[round % 2]!;
        const load = await startCalls(victim);
        calls.push(...load.calls);
        const killedMs = performance.now();
        await victim.kill();
        await waitUntilSettled(cluster, load);
        tookMs.push(performance.now() - killedMs);
        say(`settled ${Math.round(tookMs.at(-1)!)} ms after the kill`);
        await victim.start();
        await victim.waitUntilReady();
        // Somewhere between two heartbeats, as a kill comes.
        await pause(Math.random() * 2_000);
      }
      const counted = await tally({
        calls,
        gateways: cluster.gateways,
        journal: () => cluster.journal(),
        settleWithinMs: 60_000,
      });
      const { note, medianMs } = describeTimes(tookMs);
      const late = form === 'long' && medianMs > BOUND_MS ? [`${note}: over ${BOUND_MS / 1000} s`] : [];
      const broken = [...late, ...(await findLeaseTroubles(cluster.databaseUrl))];
      return { tally: counted, faults: `${rounds} kills`, notes: [note], broken };
    } finally {
      await cluster.stop();
    }
  },
};

async function startCalls(victim: GatewayProcess): Promise<Load> {
  const load = new Load({
    gateways: [victim],
    methods: ['Do'],
    styles: ['async'],
    inFlight: CALLS,
    callsPerSecond: 1_000,
    maxCalls: CALLS,
    keyedPercent: 0,
    // Keys of their own, so that no call waits for another's.
    extra: (number) => ({ workMs: WORK_MS, key: `take-over-${number}` }),
  });
  load.start();
  await load.made();
  await load.stop();
  return load;
}

/** In the database: a poll would add its own waiting. */
async function waitUntilSettled(cluster: Cluster, { calls }: Load): Promise<void> {
  const ids = calls.flatMap(({ tries }) =>
    tries.flatMap(({ answer }) => (answer.kind === 'acknowledged' ? [answer.id] : [])),
  );
  const list = ids.map((id) => `'${id}'`).join(', ');
  for (let waitedMs = 0; waitedMs < 60_000; waitedMs += 50) {
    const { rows } = await cluster.query(
      `select count(*)::int as open from sluice.operation where id in (${list}) and retained_until is null`,
    );
    if (rows[0].open === 0) return;
    await pause(50);
  }
  throw new Error('not settled within a minute');
}

function describeTimes(tookMs: readonly number[]): { note: string; medianMs: number } {
  const sorted = [...tookMs].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const medianMs = (sorted[Math.ceil(middle) - 1]! + sorted[Math.floor(middle)]!) / 2;
  const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;
  const note = `lease ${LEASE_MS / 1000} s, settled after ${seconds(medianMs)} (median of ${sorted.length}; ${seconds(sorted[0]!)} to ${seconds(sorted.at(-1)!)})`;
  return { note, medianMs };
}
