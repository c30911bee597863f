// kill -9 of a gateway under load, three instances, callers that ask again with the same key.
import { setTimeout as pause } from 'node:timers/promises';
import { WORKERS_OF_BOTH } from '../support/cluster.ts';
import type { Outcome, Scenario, Stage } from '../support/scenario.ts';
import { runUnderLoad } from '../support/under-load.ts';

export const killGateways: Scenario = {
  name: 'kill-gateways',
  title: 'kill -9 of a gateway under load, three instances',
  run(stage: Stage): Promise<Outcome> {
    const short = stage.form === 'short';
    const kills = short ? 2 : 10;
    return runUnderLoad(stage, {
      cluster: {
        gateways: 3,
        workers: WORKERS_OF_BOTH,
        leaseMs: short ? 4_000 : 8_000,
      },
      load: { methods: ['Do', 'DoOnce'], inFlight: 24, callsPerSecond: 120 },
      async fault({ gateways }, load) {
        for (let kill = 0; kill < kills; kill++) {
          await pause(short ? 1_000 : 3_000);
          const victim = gateways[kill % gateways.length]!;
          stage.say(`kill -9 ${victim.name}, ${load.calls.length} calls so far`);
          await victim.kill();
          await pause(short ? 500 : 2_000);
          await victim.start();
          await victim.waitUntilReady();
        }
        await pause(1_000);
        return { faults: `${kills} kills` };
      },
    });
  },
};
