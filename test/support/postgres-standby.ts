// A standby of a real PostgreSQL, by streaming replication. There is no pg_basebackup among the binaries, so it is made as the
// manual's "Making a Base Backup Using the Low Level API" (chapter 25.3) says; that works under load.
import { copyFile, lstat, mkdir, readdir, readlink, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { type PostgresServer, query, startPostgres } from './postgres-server.ts';
import { waitUntil } from './wait.ts';

const TIMEOUT_MS = 60_000;

export interface StandbyServer extends PostgresServer {
  /** Becomes a primary of its own; resolves when it takes writes. Needs nothing of the old primary, which may be gone. */
  promote(): Promise<void>;
}

/** Of what a standby needs in its primary beyond the defaults: log segments are kept until the standby has connected. */
export const PRIMARY_SETTINGS: Readonly<Record<string, string>> = { wal_keep_size: '512MB' };

/**
 * Resolves when it streams. Throws where the server does not let it.
 *
 * @param streamFrom Where it gets the log: the primary's URL, or that of a relay to it.
 */
export async function startStandby(primary: PostgresServer, streamFrom = primary.url): Promise<StandbyServer> {
  const { hostname, port, username } = new URL(streamFrom);
  const server = await startPostgres({
    fill: (data) => backUp(primary.url, data),
    settings: {
      ...PRIMARY_SETTINGS,
      primary_conninfo: `host=${hostname} port=${port} user=${username} application_name=standby`,
    },
  });
  try {
    await waitUntilStreaming(primary.url);
  } catch (error) {
    await server.stop();
    throw error;
  }
  const promote = () => promoteServer(server.url);
  return { ...server, promote };
}

/** From here on a commit is answered once the standby has it on disk. Resolves when that is so. */
export async function commitSynchronously(primary: PostgresServer): Promise<void> {
  await query(primary.url, "alter system set synchronous_standby_names = '*'");
  await query(primary.url, 'select pg_reload_conf()');
  const ask = "select count(*)::int as count from pg_stat_replication where sync_state = 'sync'";
  await waitUntil({ what: 'synchronous replication', timeoutMs: TIMEOUT_MS }, async () => {
    const { rows } = await query(primary.url, ask);
    return rows[0].count > 0;
  });
}

async function promoteServer(url: string): Promise<void> {
  const { rows } = await query(url, `select pg_promote(true, ${TIMEOUT_MS / 1000}) as promoted`);
  if (!rows[0].promoted) throw new Error('the standby was not promoted in time');
  // A primary's settings came along with its folder: it has no standby of its own to wait for.
  await query(url, 'alter system reset synchronous_standby_names');
  await query(url, 'select pg_reload_conf()');
  await waitUntil({ what: 'the promoted standby', timeoutMs: TIMEOUT_MS }, async () => {
    const { rows: answer } = await query(
      url,
      "select pg_is_in_recovery() or current_setting('synchronous_standby_names') <> '' as not_yet",
    );
    return !answer[0].not_yet;
  });
}

async function waitUntilStreaming(primaryUrl: string): Promise<void> {
  const ask = "select count(*)::int as count from pg_stat_replication where state = 'streaming'";
  await waitUntil({ what: 'a standby that streams', timeoutMs: TIMEOUT_MS }, async () => {
    const { rows } = await query(primaryUrl, ask);
    return rows[0].count > 0;
  });
}

/** Start and stop are told on one connection: the server gives the backup up where it ends. */
async function backUp(primaryUrl: string, data: string): Promise<void> {
  const client = new pg.Client({ connectionString: primaryUrl });
  client.on('error', () => undefined);
  await client.connect();
  try {
    const { rows } = await client.query('show data_directory');
    await client.query("select pg_backup_start('standby', true)");
    await copyFolder(rows[0].data_directory, data, '');
    const stopped = await client.query('select labelfile, spcmapfile from pg_backup_stop(false)');
    await writeFile(join(data, 'backup_label'), stopped.rows[0].labelfile);
    await writeFile(join(data, 'standby.signal'), '');
  } finally {
    await client.end();
  }
}

/** Files that must not come along, and folders whose content must not (chapter 25.3.4). */
const LEFT_OUT =
  /^(?:postmaster\.(?:pid|opts)|(?:pg_wal|pg_replslot|pg_dynshmem|pg_notify|pg_serial|pg_snapshots|pg_stat_tmp|pg_subtrans)\/.*)$/;

/** @param inside Path below the data folder, with a slash at its end where it is not empty. */
async function copyFolder(from: string, to: string, inside: string): Promise<void> {
  await mkdir(to, { mode: 0o700 });
  for (const name of await readdir(from)) {
    const path = `${inside}${name}`;
    if (!LEFT_OUT.test(path)) await copyEntry(join(from, name), join(to, name), path);
  }
}

async function copyEntry(from: string, to: string, path: string): Promise<void> {
  try {
    const kind = await lstat(from);
    if (kind.isDirectory()) await copyFolder(from, to, `${path}/`);
    else if (kind.isSymbolicLink()) await symlink(await readlink(from), to);
    else await copyFile(from, to);
  } catch (error) {
    // Files of a server that runs come and go; what the copy lacks is in the log.
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
