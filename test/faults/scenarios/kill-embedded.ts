// kill -9 of the only gateway on the embedded store, operations in flight: it opens its folder again and finishes them.
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { CONTRACT_BEFORE } from '../support/cluster.ts';
import { GatewayProcess } from '../support/gateway-process.ts';
import { readJournal } from '../support/journal.ts';
import { Load } from '../support/load.ts';
import { makeRunFolder, removeRunFolder } from '../support/run-folder.ts';
import type { Outcome, Scenario, Stage } from '../support/scenario.ts';
import { tally } from '../support/tally.ts';

const MAIN = fileURLToPath(new URL('../support/embedded-main.ts', import.meta.url));

export const killEmbedded = {
  name: 'kill-embedded',
  title: 'kill -9 of the only gateway on the embedded store, operations in flight',
  async run({ form, say }: Pick<Stage, 'form' | 'say'>): Promise<Outcome> {
    const kills = form === 'short' ? 2 : 10;
    const folder = await makeRunFolder();
    const gateway = await GatewayProcess.plan({ name: 'gateway-0', folder, config: makeConfig(folder), args: [MAIN] });
    gateway.env = { FAULTS_FOLDER: folder };
    const load = new Load({
      gateways: [gateway],
      methods: ['Do'],
      inFlight: 24,
      callsPerSecond: 60,
      maxWorkMs: 500,
    });
    try {
      await gateway.start();
      await gateway.waitUntilReady();
      load.start();
      for (let kill = 0; kill < kills; kill++) {
        await pause(form === 'short' ? 1_500 : 4_000);
        say(`kill -9, ${load.calls.length} calls so far`);
        await gateway.kill();
        await gateway.start();
        await gateway.waitUntilReady();
      }
      await pause(1_000);
      await load.stop();
      const counted = await tally({
        calls: load.calls,
        gateways: [gateway],
        journal: () => readJournal(folder),
        settleWithinMs: 60_000,
      });
      return { tally: counted, faults: `${kills} kills` };
    } finally {
      const stopped = load.stop(0);
      await gateway.kill();
      await stopped;
      await removeRunFolder(folder);
    }
  },
} satisfies Scenario;

function makeConfig(folder: string) {
  return {
    contract: {
      sources: [CONTRACT_BEFORE],
      // What ran when the process died runs again: the channel died with it.
      policies: { methods: { 'faults.v1.Work/Do': { idempotent: true, max_attempts: 20 } } },
    },
    store: { data_dir: join(folder, 'data') },
    log: { level: 'info', format: 'json' },
  };
}
