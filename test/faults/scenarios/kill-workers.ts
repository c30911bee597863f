// Workers die in mid-handler, and between effect and reply; others, or the same ones started again, take over.
import { setTimeout as pause } from 'node:timers/promises';
import type { Cluster } from '../support/cluster.ts';
import type { Outcome, Scenario, Stage } from '../support/scenario.ts';
import { runUnderLoad } from '../support/under-load.ts';

export const killWorkers: Scenario = {
  name: 'kill-workers',
  title: 'workers killed in mid-handler and between effect and reply',
  run(stage: Stage): Promise<Outcome> {
    const short = stage.form === 'short';
    const every = short ? 100 : 400;
    const most = short ? 4 : 20;
    return runUnderLoad(stage, {
      cluster: {
        gateways: 2,
        workers: [
          { count: 2, methods: ['Do'] },
          { count: 2, methods: ['DoOnce'], marks: 'postgres' },
        ],
        leaseMs: 4_000,
      },
      load: {
        methods: ['Do', 'DoOnce'],
        inFlight: 32,
        callsPerSecond: 80,
        patienceMs: 90_000,
        extra: (number) => whereToDie(number, every, most),
      },
      async fault(cluster, load) {
        const watch = new AbortController();
        const keeping = keepAlive(cluster, stage, watch.signal);
        while (load.calls.length < every * most) await pause(250);
        await pause(2_000);
        watch.abort();
        await keeping;
        return { faults: `${countDeaths(cluster)} deaths` };
      },
      check: (cluster) => (countDeaths(cluster) === 0 ? ['no worker died'] : []),
      settleWithinMs: 90_000,
    });
  },
};

/** Both methods and both moments in turn. */
function whereToDie(number: number, every: number, most: number): object {
  const turn = Math.floor(number / every);
  if (turn >= most || number % every !== (turn % 2 === 0 ? 0 : 1)) return {};
  return { manner: Math.floor(turn / 2) % 2 === 0 ? 'after_effect' : 'before_effect' };
}

async function keepAlive({ workers }: Cluster, { say }: Stage, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    for (const worker of workers) {
      if (worker.isAlive) continue;
      say(`${worker.settings.name} died, and is started again`);
      await worker.start();
    }
    await pause(200);
  }
}

function countDeaths(cluster: Cluster): number {
  return cluster.journal().filter(({ kind }) => kind === 'died').length;
}
