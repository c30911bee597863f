// One instance's wall clock is off by minutes: deadlines, leases and ids go by the database's clock all the same.
import { setTimeout as pause } from 'node:timers/promises';
import { type Cluster, WORKERS_OF_BOTH } from '../support/cluster.ts';
import { findMissingFaketime, shiftClock } from '../support/faketime.ts';
import type { Outcome, Scenario, Stage } from '../support/scenario.ts';
import { runUnderLoad } from '../support/under-load.ts';

const OFFSET_S = 300;
/** What a corrected clock may be wrong by: half of a heartbeat's way to the database, on a busy machine. */
const TOLERANCE_S = 5;

export const shiftOneClock: Scenario = {
  name: 'shift-clock',
  title: "one instance's clock five minutes ahead, another's five minutes behind",
  missing: async () => findMissingFaketime(),
  run(stage: Stage): Promise<Outcome> {
    const short = stage.form === 'short';
    return runUnderLoad(stage, {
      cluster: {
        gateways: 3,
        workers: WORKERS_OF_BOTH,
        leaseMs: 4_000,
        env: (index): Record<string, string> => (index === 2 ? {} : shiftClock(index === 0 ? OFFSET_S : -OFFSET_S)),
      },
      load: { methods: ['Do', 'DoOnce'], inFlight: 24, callsPerSecond: 80 },
      async fault({ gateways }, load) {
        for (const victim of short ? gateways.slice(0, 1) : gateways) {
          await pause(short ? 3_000 : 20_000);
          stage.say(`kill -9 ${victim.name}, ${load.calls.length} calls so far`);
          await victim.kill();
          await victim.start();
          await victim.waitUntilReady();
        }
        await pause(short ? 1_000 : 10_000);
        return { faults: `±${OFFSET_S / 60} min` };
      },
      check: findWrongTimes,
    });
  },
};

/** `created_at` is the gateway's own time, corrected; the row is written a moment later by the database's. */
async function findWrongTimes(cluster: Cluster): Promise<string[]> {
  const { rows } = await cluster.query(
    `select o.id::text, extract(epoch from e.at - o.created_at) as created_off,
            extract(epoch from o.created_at) - ('x' || translate(left(o.id::text, 13), '-', ''))::bit(48)::bigint / 1000.0 as id_off
       from sluice.operation o join sluice.operation_event e on e.operation_id = o.id and e.type in ('succeeded', 'failed')`,
  );
  const wrong = rows.filter(
    ({ created_off, id_off }) => Math.abs(Number(created_off)) > 60 || Math.abs(Number(id_off)) > TOLERANCE_S,
  );
  if (rows.length === 0) return ['no operation was recorded'];
  return wrong
    .map(({ id, created_off, id_off }) => `${id}: created ${created_off} s off, id ${id_off} s off`)
    .slice(0, 5);
}
