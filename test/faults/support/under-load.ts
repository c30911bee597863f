// A cluster under load while something is broken: the frame of most runs.
import { Cluster, type ClusterPlan } from './cluster.ts';
import { findLeaseTroubles } from './lease-watch.ts';
import { Load, type LoadPlan } from './load.ts';
import type { Outcome, Stage } from './scenario.ts';
import { type Tally, type TallyPlan, tally } from './tally.ts';

export interface UnderLoadPlan extends Pick<TallyPlan, 'mayEnd' | 'mayFail' | 'mayBeUnknown'> {
  readonly cluster: ClusterPlan;
  readonly load: Omit<LoadPlan, 'gateways'>;
  /** Breaks things, and leaves everything running. */
  readonly fault: (cluster: Cluster, load: Load) => Promise<Pick<Outcome, 'faults' | 'notes' | 'broken'>>;
  /** After the count: what else must hold. */
  readonly check?: (cluster: Cluster, load: Load) => Promise<readonly string[]> | readonly string[];
  /** What the count and the cluster tell beside the table. */
  readonly note?: (cluster: Cluster, counted: Tally) => Promise<readonly string[]> | readonly string[];
  /** How long after the last call the last operation may take. Default 60 s. */
  readonly settleWithinMs?: number;
}

export async function runUnderLoad({ servers }: Stage, plan: UnderLoadPlan): Promise<Outcome> {
  const cluster = await Cluster.start(servers, plan.cluster);
  const load = new Load({ ...plan.load, gateways: cluster.gateways });
  try {
    load.start();
    const told = await plan.fault(cluster, load);
    await load.stop();
    const counted = await tally({
      calls: load.calls,
      gateways: cluster.gateways,
      journal: () => cluster.journal(),
      storedEffects: () => cluster.storedEffects(),
      settleWithinMs: plan.settleWithinMs ?? 60_000,
      ...(plan.mayEnd && { mayEnd: plan.mayEnd }),
      ...(plan.mayFail && { mayFail: plan.mayFail }),
      ...(plan.mayBeUnknown && { mayBeUnknown: plan.mayBeUnknown }),
    });
    const leases = await findLeaseTroubles(cluster.databaseUrl);
    const checked = (await plan.check?.(cluster, load)) ?? [];
    const broken = [...(told.broken ?? []), ...cluster.findDead(), ...leases, ...checked];
    const notes = [...(told.notes ?? []), ...((await plan.note?.(cluster, counted)) ?? [])];
    return { ...told, notes, tally: counted, broken };
  } finally {
    // Where the fault threw, callers would go on against gateways that are gone.
    const stopped = load.stop(0);
    await cluster.stop();
    await stopped;
  }
}
