// PostgreSQL's primary dies for good under load and its standby takes over: with synchronous replication, where nothing may
// be lost, and with asynchronous, where the last commits are. There the database goes back in time under gateways that do
// not: what they remember of rows, positions and leases is newer than what stands there.
import { setTimeout as pause } from 'node:timers/promises';
import type { Cluster, ClusterPlan } from '../support/cluster.ts';
import type { GatewayProcess } from '../support/gateway-process.ts';
import type { Load, LoadPlan } from '../support/load.ts';
import { ReplicatedPostgres } from '../support/replicated-postgres.ts';
import type { Outcome, Scenario, Stage } from '../support/scenario.ts';
import { countSurplus, type Tally } from '../support/tally.ts';
import { runUnderLoad } from '../support/under-load.ts';

/**
 * Some of the work goes on for so long that it is told of, promised and settled on different sides of what is lost. Under a
 * key of its own: works of one key are done one after the other. And none of those that hold a database connection meanwhile.
 */
const LOAD: Omit<LoadPlan, 'gateways'> = {
  methods: ['Do', 'DoOnce'],
  inFlight: 96,
  callsPerSecond: 80,
  maxWorkMs: 200,
  extra: (number) => (number % 4 === 2 ? { workMs: 2_000, key: `slow-${number}` } : {}),
};

export const failOver: Scenario = {
  name: 'fail-over',
  title: 'kill -9 of the primary under load, its synchronous standby takes over',
  run(stage: Stage): Promise<Outcome> {
    return withPair(stage, true, (pair, own) =>
      runUnderLoad(own, {
        cluster: clusterOf(stage),
        load: LOAD,
        async fault(cluster, load) {
          // A name that leads to the standby before it is promoted must cost no more than time.
          const afterKill = () => pair.pointToStandby();
          const rounds = await failOverInRounds(stage, pair, cluster, load, { afterKill });
          return { faults: `${rounds.length} times` };
        },
        check: ({ gateways }) => findDifferences(gateways[0]!),
      }),
    );
  },
};

export const failOverAsync: Scenario = {
  name: 'fail-over-async',
  title: 'the same with an asynchronous standby that is behind: the last commits are lost',
  run(stage: Stage): Promise<Outcome> {
    const lost = new Set<string>();
    return withPair(stage, false, (pair, own) =>
      runUnderLoad(own, {
        // What the workers' marks say must not be lost with the commits, or an effect may be made twice.
        cluster: { ...clusterOf(stage), workerServer: stage.servers.postgres },
        load: LOAD,
        async fault(cluster, load) {
          const beforeKill = async (round: number) => {
            await pair.cutStream();
            await startAnew(cluster.gateways[round % cluster.gateways.length]!);
          };
          const rounds = await failOverInRounds(stage, pair, cluster, load, { beforeKill });
          for (const id of rounds.flat()) lost.add(id);
          const empty = rounds.filter((ids) => ids.length === 0).length;
          const broken = empty > 0 ? [`${empty} times nothing was lost: the standby was not behind`] : [];
          return { faults: `${rounds.length} times; a gateway started anew in the time that is lost`, broken };
        },
        mayBeUnknown: (id) => lost.has(id),
        check: ({ gateways }) => findDifferences(gateways[0]!),
        note: (cluster, counted) => describeLoss(lost, cluster, counted),
      }),
    );
  },
};

async function withPair(
  stage: Stage,
  isSynchronous: boolean,
  run: (pair: ReplicatedPostgres, own: Stage) => Promise<Outcome>,
): Promise<Outcome> {
  const pair = await ReplicatedPostgres.start(isSynchronous);
  try {
    return await run(pair, { ...stage, servers: { ...stage.servers, postgres: pair.server } });
  } finally {
    await pair.stop();
  }
}

function clusterOf({ form }: Stage): ClusterPlan {
  return {
    gateways: form === 'short' ? 2 : 3,
    workers: [
      { count: 1, methods: ['Do'], concurrency: 128 },
      { count: 1, methods: ['DoOnce'], marks: 'postgres', concurrency: 128 },
    ],
    leaseMs: form === 'short' ? 4_000 : 8_000,
  };
}

/** Resolves with the operations that each time were lost. */
async function failOverInRounds(
  { form, say }: Stage,
  pair: ReplicatedPostgres,
  { gateways, databaseUrl }: Cluster,
  load: Load,
  steps: { readonly beforeKill?: (round: number) => Promise<void>; readonly afterKill?: () => void },
): Promise<(readonly string[])[]> {
  const [rounds, restMs, downMs] = form === 'short' ? [1, 1_500, 1_000] : [3, 5_000, 5_000];
  const lost: (readonly string[])[] = [];
  for (let round = 0; round < rounds; round++) {
    if (round > 0) await pair.addStandby();
    await pause(restMs);
    await steps.beforeKill?.(round);
    say(`kill -9 of the primary, ${load.calls.length} calls so far`);
    await pair.kill();
    steps.afterKill?.();
    await pause(downMs);
    lost.push(await pair.failOver(new URL(databaseUrl).pathname.slice(1)));
    say(`the standby is primary; it lacks ${lost.at(-1)!.length} operations`);
    await Promise.all(gateways.map((gateway) => gateway.waitUntilReady({ timeoutMs: 120_000 })));
    say('all are ready');
  }
  await pause(restMs);
  return lost;
}

/** So that leases change their owners, and fences, in a time that the new primary knows nothing of. */
async function startAnew(gateway: GatewayProcess): Promise<void> {
  await gateway.terminate();
  await gateway.start();
  await gateway.waitUntilReady();
}

async function findDifferences(gateway: GatewayProcess): Promise<string[]> {
  const differences = await gateway.rebuild();
  return differences.slice(0, 5).map((each) => `a row is not what its events say: ${JSON.stringify(each)}`);
}

/** Of a call whose operation was lost with its key the next try is another operation, whose effect is another one. */
async function describeLoss(lost: ReadonlySet<string>, cluster: Cluster, { doubled, forgotten }: Tally) {
  const names = (await cluster.storedEffects()).map(({ call }) => call).filter((call) => call !== 'warm-up');
  return [
    `${forgotten} of the acknowledged operations unknown afterwards (${lost.size} rows were lost)`,
    `${countSurplus(names) - doubled} effects made again for a lost key`,
  ];
}
