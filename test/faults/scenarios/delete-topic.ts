// A command's topic is deleted under load: that command fails, and says so; no other one notices.
import { setTimeout as pause } from 'node:timers/promises';
import { Kafka, logLevel } from 'kafkajs';
import { type Call, isServed } from '../support/calls.ts';
import type { Cluster } from '../support/cluster.ts';
import type { Load } from '../support/load.ts';
import type { Outcome, Scenario, Stage } from '../support/scenario.ts';
import { runUnderLoad } from '../support/under-load.ts';

const isOfDeleted = ({ method }: Call) => method === 'DoNowhere';

export const deleteTopic: Scenario = {
  name: 'delete-topic',
  title: "a command's topic deleted under load",
  run(stage: Stage): Promise<Outcome> {
    const short = stage.form === 'short';
    let deletedAtMs = 0;
    return runUnderLoad(stage, {
      cluster: {
        gateways: 2,
        // Each serves both: what loses one of its topics goes on with the other.
        workers: [{ count: 2, methods: ['Do', 'DoNowhere'] }],
        // What stood on the topic is gone with it, and only the deadline ends it.
        config: { contract: { policies: { methods: { 'faults.v1.Work/DoNowhere': { timeout: '15s' } } } } },
      },
      load: { methods: ['Do', 'DoNowhere'], inFlight: 48, callsPerSecond: 60, patienceMs: short ? 10_000 : 45_000 },
      async fault(cluster, load) {
        await pause(short ? 1_000 : 5_000);
        stage.say(`the topic goes, ${load.calls.length} calls so far`);
        deletedAtMs = Date.now();
        await deleteTopicOf(cluster, 'DoNowhere');
        await pause(short ? 8_000 : 60_000);
        return { faults: 'one topic of two' };
      },
      mayEnd: ({ state }, call) => isOfDeleted(call) && (state === 'failed' || state === 'expired'),
      mayFail: isOfDeleted,
      check: (_cluster, load) => findSuffering(load, deletedAtMs),
      settleWithinMs: 90_000,
    });
  },
};

async function deleteTopicOf({ servers, namespace }: Cluster, method: string): Promise<void> {
  const kafka = new Kafka({ brokers: servers.broker.brokers, clientId: 'faults', logLevel: logLevel.NOTHING });
  const admin = kafka.admin();
  await admin.connect();
  try {
    await admin.deleteTopics({ topics: [`${namespace}.faults.v1.Work.${method}`] });
  } finally {
    await admin.disconnect();
  }
}

/** Calls of the other command that did not get their answer at the first try. */
function findSuffering({ calls }: Load, sinceMs: number): string[] {
  const others = calls.filter((call) => !isOfDeleted(call) && (call.tries[0]?.startedAtMs ?? 0) >= sinceMs);
  const suffering = others.filter(({ tries }) => tries[0] === undefined || !isServed(tries[0].answer));
  if (others.length === 0) return ['no call of the other command was made after the topic was gone'];
  return suffering
    .map(({ name, tries }) => `${name} of the other command suffered: ${JSON.stringify(tries[0]?.answer)}`)
    .slice(0, 5);
}
