// kill -9 of PostgreSQL's postmaster under load, and started again.
import { setTimeout as pause } from 'node:timers/promises';
import { WORKERS_OF_BOTH } from '../support/cluster.ts';
import type { Outcome, Scenario, Stage } from '../support/scenario.ts';
import { runUnderLoad } from '../support/under-load.ts';

export const killPostgres: Scenario = {
  name: 'kill-postgres',
  title: 'kill -9 of the postmaster under load, started again',
  run(stage: Stage): Promise<Outcome> {
    const short = stage.form === 'short';
    const [kills, downMs] = short ? [1, 3_000] : [3, 10_000];
    const { postgres } = stage.servers;
    return runUnderLoad(stage, {
      cluster: {
        gateways: 2,
        workers: WORKERS_OF_BOTH,
        leaseMs: short ? 4_000 : 8_000,
      },
      load: { methods: ['Do', 'DoOnce'], inFlight: 32, callsPerSecond: 80 },
      async fault({ gateways }, load) {
        for (let kill = 0; kill < kills; kill++) {
          await pause(short ? 1_000 : 5_000);
          stage.say(`kill -9 of the postmaster, ${load.calls.length} calls so far`);
          await postgres.kill();
          await pause(downMs);
          await postgres.restart();
          await Promise.all(gateways.map((gateway) => gateway.waitUntilReady({ timeoutMs: 120_000 })));
        }
        await pause(short ? 1_000 : 5_000);
        return { faults: `${kills} kills, ${downMs / 1000} s down each` };
      },
    });
  },
};
