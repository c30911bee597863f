// The broker goes away under load: killed and started again, or stopped in its tracks beyond the session timeout.
import { setTimeout as pause } from 'node:timers/promises';
import { WORKERS_OF_BOTH } from '../support/cluster.ts';
import type { Outcome, Scenario, Stage } from '../support/scenario.ts';
import { runUnderLoad } from '../support/under-load.ts';

export const killBroker: Scenario = {
  name: 'kill-broker',
  title: 'kill -9 of the broker under load, started again',
  run(stage: Stage): Promise<Outcome> {
    const downMs = stage.form === 'short' ? 5_000 : 20_000;
    return loseBroker(stage, `${downMs / 1000} s down`, async () => {
      const { broker } = stage.servers;
      await broker.kill();
      await pause(downMs);
      await broker.restart();
    });
  },
};

export const pauseBroker: Scenario = {
  name: 'pause-broker',
  title: 'SIGSTOP of the broker under load beyond the session timeout (6 s)',
  run(stage: Stage): Promise<Outcome> {
    const downMs = stage.form === 'short' ? 8_000 : 25_000;
    return loseBroker(stage, `${downMs / 1000} s paused`, async () => {
      const { broker } = stage.servers;
      broker.pause();
      await pause(downMs);
      broker.resume();
    });
  },
};

function loseBroker(stage: Stage, faults: string, lose: () => Promise<void>): Promise<Outcome> {
  const short = stage.form === 'short';
  return runUnderLoad(stage, {
    cluster: {
      gateways: 2,
      workers: WORKERS_OF_BOTH,
      leaseMs: short ? 4_000 : 8_000,
    },
    load: { methods: ['Do', 'DoOnce'], inFlight: 32, callsPerSecond: 60, patienceMs: 90_000 },
    async fault({ gateways }, load) {
      await pause(short ? 1_000 : 5_000);
      stage.say(`the broker goes, ${load.calls.length} calls so far`);
      await lose();
      stage.say(`the broker is back, ${load.calls.length} calls so far`);
      await Promise.all(gateways.map((gateway) => gateway.waitUntilReady({ timeoutMs: 120_000 })));
      await pause(short ? 1_000 : 5_000);
      return { faults };
    },
    // What was accepted meanwhile is worked off, and a worker may need a minute to take commands again.
    settleWithinMs: 120_000,
  });
}
