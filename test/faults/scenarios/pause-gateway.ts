// An instance is stopped in its tracks past its lease, then goes on: it settles nothing as the old owner, which the
// database's own record of lease writes shows, and whoever waits at it still gets an answer.
import { setTimeout as pause } from 'node:timers/promises';
import { type Cluster, WORKERS_OF_BOTH } from '../support/cluster.ts';
import type { Load } from '../support/load.ts';
import type { Outcome, Scenario, Stage } from '../support/scenario.ts';
import { runUnderLoad } from '../support/under-load.ts';

export const pauseGateway: Scenario = {
  name: 'pause-gateway',
  title: 'an instance paused (SIGSTOP) past its lease, then continued',
  run(stage: Stage): Promise<Outcome> {
    const short = stage.form === 'short';
    const [pauses, leaseMs] = short ? [1, 3_000] : [5, 8_000];
    const pausedMs = leaseMs * 2;
    const spells: { readonly fromMs: number; readonly toMs: number; readonly gateway: number }[] = [];
    return runUnderLoad(stage, {
      cluster: {
        gateways: 3,
        workers: WORKERS_OF_BOTH,
        leaseMs,
      },
      load: { methods: ['Do', 'DoOnce'], inFlight: 48, callsPerSecond: 80, maxWorkMs: 500, answerTimeoutMs: 60_000 },
      async fault({ gateways }, load) {
        for (let turn = 0; turn < pauses; turn++) {
          await pause(short ? 1_500 : 5_000);
          const gateway = turn % gateways.length;
          const victim = gateways[gateway]!;
          stage.say(`SIGSTOP of ${victim.name}, ${load.calls.length} calls so far`);
          const fromMs = Date.now();
          victim.pause();
          await pause(pausedMs);
          victim.resume();
          spells.push({ fromMs, toMs: Date.now(), gateway });
          stage.say(`SIGCONT of ${victim.name}, ${load.calls.length} calls so far`);
          await victim.waitUntilReady();
        }
        await pause(short ? 2_000 : 5_000);
        return { faults: `${pauses} times ${pausedMs / 1000} s, lease ${leaseMs / 1000} s` };
      },
      check: async (cluster, load) => [
        ...spells.flatMap((spell) => findUnanswered(load, spell)),
        ...(await findTakeovers(cluster)),
      ],
    });
  },
};

/** Requests that stood at the paused instance and were not answered after it. gRPC callers have a deadline of their own. */
function findUnanswered({ calls }: Load, spell: { fromMs: number; toMs: number; gateway: number }): string[] {
  const waiting = calls.flatMap(({ style, tries }) =>
    tries.filter(
      ({ gateway, startedAtMs, tookMs }) =>
        style !== 'grpc' && gateway === spell.gateway && startedAtMs < spell.toMs && startedAtMs + tookMs > spell.toMs,
    ),
  );
  if (waiting.length === 0) return ['nobody waited at the instance that was paused'];
  const unanswered = waiting.filter(({ answer }) => answer.kind === 'silent' || answer.kind === 'reset');
  return unanswered
    .map(({ name, answer }) => `${name} waited at the paused instance and got ${JSON.stringify(answer)}`)
    .slice(0, 5);
}

/** The run shows nothing where nobody took the paused instance's leases. */
async function findTakeovers(cluster: Cluster): Promise<string[]> {
  const { rows } = await cluster.query('select 1 from lease_write where fence > old_fence and old_owner is not null');
  return rows.length === 0 ? ['no lease of the paused instance was taken over'] : [];
}
