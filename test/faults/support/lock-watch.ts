// How long anybody waits for the lock of a table: what a migration costs those who are at work.
import pg from 'pg';

export interface LockWatch {
  /** The longest that was seen, ms. */
  stop(): Promise<number>;
}

const LONGEST_WAIT = `select coalesce(max(extract(epoch from clock_timestamp() - l.waitstart)) * 1000, 0)::float8 as ms
  from pg_locks l join pg_stat_activity a using (pid)
  where l.locktype = 'relation' and not l.granted and a.datname = current_database()
    and a.application_name like 'gateway-%'`;

/** Looks again as soon as it has looked. */
export async function watchLocks(databaseUrl: string): Promise<LockWatch> {
  const client = new pg.Client({ connectionString: databaseUrl });
  client.on('error', () => undefined);
  await client.connect();
  let stopped = false;
  const watching = (async () => {
    let longestMs = 0;
    while (!stopped) longestMs = Math.max(longestMs, (await client.query(LONGEST_WAIT)).rows[0].ms);
    return longestMs;
  })();
  watching.catch(() => undefined);
  return {
    stop: async () => {
      stopped = true;
      const longestMs = await watching;
      await client.end();
      return longestMs;
    },
  };
}
