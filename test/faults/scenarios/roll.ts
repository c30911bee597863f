// Three instances are stopped (SIGTERM) and started again one after the other under load, also onto a contract that adds,
// renames and removes a method. The drain's bound is above the longest wait.
import { setTimeout as pause } from 'node:timers/promises';
import type { Call } from '../support/calls.ts';
import { type Cluster, CONTRACT_AFTER, mergeConfig } from '../support/cluster.ts';
import type { Load } from '../support/load.ts';
import type { Outcome, Scenario, Stage } from '../support/scenario.ts';
import { runUnderLoad } from '../support/under-load.ts';

export const roll: Scenario = {
  name: 'roll',
  title: 'rolling restart of three instances under load',
  run(stage: Stage): Promise<Outcome> {
    const rounds = stage.form === 'short' ? 1 : 3;
    return runUnderLoad(stage, {
      cluster: clusterOf(['Do']),
      load: { methods: ['Do', 'DoOnce'], inFlight: 24, callsPerSecond: 80, maxWorkMs: 300 },
      async fault(cluster) {
        const exits: (number | null)[] = [];
        for (let round = 0; round < rounds; round++) exits.push(...(await rollAll(stage, cluster)));
        return { faults: `${exits.length} restarts`, broken: findBadExits(exits) };
      },
      check: (_cluster, load) => findUnsafe(load),
    });
  },
};

/** Over REST `DoNew` is where `DoOld` was; over gRPC the old name is gone. */
const isGoneAfter = ({ method, style }: Call) => method === 'DoGone' || (method === 'DoOld' && style === 'grpc');

export const rollContract: Scenario = {
  name: 'roll-contract',
  title: 'rolling restart onto a contract that adds, renames and removes a method',
  run(stage: Stage): Promise<Outcome> {
    return runUnderLoad(stage, {
      cluster: clusterOf(['Do', 'DoOld', 'DoNew', 'DoGone', 'DoAdded']),
      load: { methods: ['Do', 'DoOld', 'DoGone'], inFlight: 24, callsPerSecond: 80, maxWorkMs: 300 },
      async fault(cluster) {
        const exits = await rollAll(stage, cluster, (index) => {
          const gateway = cluster.gateways[index]!;
          gateway.config = mergeConfig(gateway.config, { contract: { sources: [CONTRACT_AFTER] } });
        });
        // On every instance, or the promise of the added method is half kept.
        await cluster.warmUp('DoAdded');
        return { faults: `${exits.length} restarts`, broken: findBadExits(exits) };
      },
      mayFail: isGoneAfter,
      check: (_cluster, load) => findUnsafe(load),
    });
  },
};

function clusterOf(methods: readonly string[]) {
  const before = methods.filter((method) => method !== 'DoNew' && method !== 'DoAdded');
  return {
    gateways: 3,
    workers: [
      { count: 1, methods, warmUp: before },
      { count: 1, methods: ['DoOnce'], marks: 'postgres' as const },
    ],
    leaseMs: 4_000,
  };
}

async function rollAll(
  { form, say }: Stage,
  { gateways }: Cluster,
  change?: (index: number) => void,
): Promise<(number | null)[]> {
  const exits: (number | null)[] = [];
  for (const [index, gateway] of gateways.entries()) {
    await pause(form === 'short' ? 1_000 : 4_000);
    say(`SIGTERM of ${gateway.name}`);
    exits.push(await gateway.terminate());
    change?.(index);
    await gateway.start();
    await gateway.waitUntilReady();
  }
  await pause(form === 'short' ? 1_000 : 4_000);
  return exits;
}

function findBadExits(exits: readonly (number | null)[]): string[] {
  const bad = exits.filter((code) => code !== 0);
  return bad.length === 0 ? [] : [`exit codes ${bad.join(', ')} after SIGTERM, where 0 is due`];
}

/** Answers that leave a caller in doubt. Connections that ended without one have a column. */
function findUnsafe({ calls }: Load): string[] {
  const unsafe = calls.flatMap(({ name, tries }) =>
    tries.flatMap(({ answer }) => {
      const isSafe = answer.kind !== 'error' || answer.delivery === 'not_sent';
      return isSafe && answer.kind !== 'silent' ? [] : [`${name} was left in doubt: ${JSON.stringify(answer)}`];
    }),
  );
  return unsafe.slice(0, 5);
}
