// A newer release starts beside two instances under load and migrates their database: it adds columns, an index over a full
// table and another version of a hot statement. While it starts, somebody reads the tables for long, as a backup does. Then
// one more instance of the old release starts on the newer schema.
import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import { waitUntil } from '../../support/wait.ts';
import { isServed } from '../support/calls.ts';
import { type Cluster, WORKERS_OF_BOTH } from '../support/cluster.ts';
import type { Load } from '../support/load.ts';
import { watchLocks } from '../support/lock-watch.ts';
import { makeNewerRelease, NEWER_MIGRATION } from '../support/newer-release.ts';
import type { Outcome, Scenario, Stage } from '../support/scenario.ts';
import { runUnderLoad } from '../support/under-load.ts';

const CHANGERS = `select from pg_locks
  where not granted and mode = 'AccessExclusiveLock' and relation = 'sluice.operation'::regclass`;

export const migrateUnderLoad: Scenario = {
  name: 'migrate-under-load',
  title: 'a newer release starts beside two instances and migrates their database under load',
  run(stage: Stage): Promise<Outcome> {
    const [rows, readMs, restMs] = stage.form === 'short' ? [20_000, 3_000, 1_000] : [500_000, 15_000, 5_000];
    return runUnderLoad(stage, {
      cluster: {
        gateways: 2,
        workers: WORKERS_OF_BOTH,
        leaseMs: 8_000,
      },
      load: { methods: ['Do', 'DoOnce'], inFlight: 24, callsPerSecond: 60 },
      async fault(cluster, load) {
        await fill(cluster, rows);
        const newer = await makeNewerRelease(cluster.folder);
        await pause(restMs);
        const locks = await watchLocks(cluster.databaseUrl);
        stage.say(`the newer release starts, ${load.calls.length} calls so far`);
        await Promise.all([readForLong(cluster, readMs), cluster.addGateway(newer)]);
        stage.say('it is ready');
        await pause(restMs);
        stage.say('one more of the old release starts');
        await cluster.addGateway();
        await pause(restMs);
        const waitedMs = await locks.stop();
        return {
          faults: `${rows.toLocaleString('en')} rows, read by another for ${readMs / 1000} s`,
          notes: [`longest wait for a table: ${Math.round(waitedMs)} ms`],
          broken: waitedMs < readMs ? [] : ['the instances at work had to wait until the reader was done'],
        };
      },
      check: async (cluster, load) => [...findFailures(load), ...(await findSchemaTroubles(cluster))],
    });
  },
};

/** Operations that are done and kept. */
async function fill(cluster: Cluster, rows: number): Promise<void> {
  await cluster.query(
    `insert into sluice.operation (
       id, command, principal, state, version, created_at, updated_at, deadline, retained_until,
       record_topic, record_key, record_headers, record_value, maybe_sent, published_partition, published_offset)
     select gen_random_uuid(), 'faults.v1.Work/Do', '', 'succeeded', 3, now(), now(), now(), now() + interval '1 day',
       'filled', '', '', '', true, 0, 0 from generate_series(1, ${rows})`,
  );
}

/** As `pg_dump` does: it reads in one transaction. It goes on for so long after somebody has come to change the table. */
async function readForLong({ databaseUrl }: Cluster, readMs: number): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    await client.query('begin; lock table sluice.operation, sluice.operation_event in access share mode');
    await waitUntil({ what: 'a migration that wants the table', timeoutMs: 60_000, intervalMs: 10 }, async () => {
      const { rows } = await client.query(CHANGERS);
      return rows.length > 0;
    });
    await pause(readMs);
    await client.query('commit');
  } finally {
    await client.end();
  }
}

/** Nobody is stopped here: each request is owed a result or a promise. */
function findFailures({ calls }: Load): string[] {
  const failures = calls.flatMap(({ name, style, tries }) =>
    tries.flatMap(({ answer }) => (isServed(answer) ? [] : [`${name} (${style}) failed: ${JSON.stringify(answer)}`])),
  );
  return failures.slice(0, 5);
}

/** Where the newer release did not migrate, or not write as it does, or the old one no more, the run has shown nothing. */
async function findSchemaTroubles(cluster: Cluster): Promise<string[]> {
  const { rows } = await cluster.query(
    `select
       (select count(*) from sluice.sluice_migration where name = '${NEWER_MIGRATION}') as migrations,
       (select count(distinct proname) from pg_proc where proname like 'insert\\_operations\\_%') as functions,
       (select count(*) from sluice.operation where newer_note = 'newer') as by_newer,
       (select count(*) from sluice.operation o, sluice.sluice_migration m
         where m.name = '${NEWER_MIGRATION}' and o.created_at > m.applied_at + interval '1 s' and newer_note is null) as by_old,
       (select deadlocks from pg_stat_database where datname = current_database()) as deadlocks`,
  );
  const { migrations, functions, by_newer, by_old, deadlocks } = rows[0];
  const due = { migrations: '1', functions: '2', deadlocks: '0' };
  const told = { migrations, functions, deadlocks };
  return [
    ...(JSON.stringify(due) === JSON.stringify(told)
      ? []
      : [`in the database: ${JSON.stringify(told)}, due is ${JSON.stringify(due)}`]),
    ...(by_newer === '0' ? ['the newer release has accepted nothing by its own function'] : []),
    ...(by_old === '0' ? ['the old release has accepted nothing after the migration'] : []),
  ];
}
