// Calls that are started on one instance and asked after on the other: every result is seen there, and every reply is
// read for settlement once.
import { Cluster, WORKERS_OF_BOTH } from '../support/cluster.ts';
import { findLeaseTroubles } from '../support/lease-watch.ts';
import { Load } from '../support/load.ts';
import type { Outcome, Scenario, Stage } from '../support/scenario.ts';
import { tally } from '../support/tally.ts';

export const crossInstances: Scenario = {
  name: 'cross-instances',
  title: 'two instances, calls started on A and polled on B',
  async run({ form, servers, say }: Stage): Promise<Outcome> {
    const calls = form === 'short' ? 500 : 2_000;
    const cluster = await Cluster.start(servers, {
      gateways: 2,
      workers: WORKERS_OF_BOTH,
    });
    const [first, second] = cluster.gateways;
    const load = new Load({
      gateways: [first!],
      methods: ['Do', 'DoOnce'],
      styles: ['async'],
      inFlight: 32,
      callsPerSecond: 1_000,
      maxCalls: calls,
    });
    try {
      load.start();
      await load.made();
      say(`${load.calls.length} calls started`);
      const counted = await tally({
        calls: load.calls,
        gateways: [second!],
        journal: () => cluster.journal(),
        storedEffects: () => cluster.storedEffects(),
        settleWithinMs: 60_000,
      });
      const { notes, broken } = await countSettled(cluster);
      return {
        tally: counted,
        faults: 'none',
        notes,
        broken: [...broken, ...(await findLeaseTroubles(cluster.databaseUrl))],
      };
    } finally {
      const stopped = load.stop(0);
      await cluster.stop();
      await stopped;
    }
  },
};

/** What the instances say that they settled, against the events that stand in the database. */
async function countSettled(cluster: Cluster): Promise<{ notes: string[]; broken: string[] }> {
  const settled = await Promise.all(
    cluster.gateways.map((gateway) => gateway.readMetric('sluice_settled_replies_total', 'fate="settled"')),
  );
  const { rows } = await cluster.query(
    `select count(*)::int as events, count(distinct (operation_id, reply_partition, reply_offset))::int as replies,
            count(*) filter (where late)::int as late, count(distinct operation_id)::int as operations
       from sluice.operation_event where reply_offset is not null`,
  );
  const { events, replies, late, operations } = rows[0];
  const sum = settled.reduce((total, count) => total + count, 0);
  const text = `${sum} replies settled (${settled.join(' on A, ')} on B) of ${operations} operations`;
  const isOnce = sum === events && events === replies && late === 0;
  return {
    notes: [text],
    broken: isOnce ? [] : [`${text}, but ${events} events of ${replies} replies, ${late} late: not each once`],
  };
}
