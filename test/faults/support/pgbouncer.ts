// Debian's pgbouncer in transaction mode before a PostgreSQL server.
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { chown, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { query } from '../../support/postgres-server.ts';
import { type SupervisedProcess, startSupervised } from '../../support/supervised-process.ts';
import { findFreePorts, waitUntil } from '../../support/wait.ts';

const run = promisify(execFile);
const START_TIMEOUT_MS = 20_000;

export interface Pooler {
  /** The same database, through the pooler. */
  urlOf(databaseUrl: string): string;
  /** SIGKILL, and started again at the same port. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

export async function findMissingPgbouncer(): Promise<string | null> {
  try {
    await run('pgbouncer', ['--version']);
    return null;
  } catch {
    return 'there is no pgbouncer (apt-get install pgbouncer)';
  }
}

/** @param serverUrl of any database on the server */
export async function startPgbouncer(serverUrl: string): Promise<Pooler> {
  const { hostname, port: serverPort } = new URL(serverUrl);
  const folder = await mkdtemp(join(tmpdir(), 'sluice-pgbouncer-'));
  const [port] = await findFreePorts(1);
  const owner = findOwner();
  const file = join(folder, 'pgbouncer.ini');
  await writeFile(join(folder, 'users.txt'), '"postgres" ""\n');
  await writeFile(
    file,
    [
      '[databases]',
      `* = host=${hostname} port=${serverPort}`,
      '[pgbouncer]',
      'listen_addr = 127.0.0.1',
      `listen_port = ${port}`,
      'unix_socket_dir =',
      'auth_type = trust',
      `auth_file = ${join(folder, 'users.txt')}`,
      'pool_mode = transaction',
      'max_client_conn = 200',
      'default_pool_size = 8',
      'ignore_startup_parameters = extra_float_digits',
      '',
    ].join('\n'),
  );
  if (owner) await chown(folder, owner.uid, owner.gid);
  let child: SupervisedProcess;
  const start = async () => {
    child = await startSupervised({
      command: ['pgbouncer', file],
      logFile: join(folder, 'pgbouncer.log'),
      folder,
      cwd: folder,
      ...owner,
    });
    const check = () => {
      if (!child.isAlive()) throw new Error(`pgbouncer ended:\n${child.readLogTail()}`);
    };
    await waitUntil({ what: 'pgbouncer', timeoutMs: START_TIMEOUT_MS, check }, () =>
      query(urlOf(serverUrl), 'select 1'),
    );
  };
  const urlOf = (databaseUrl: string) => {
    const url = new URL(databaseUrl);
    url.port = String(port);
    return url.href;
  };
  const stop = async () => {
    await child?.end();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await start();
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    urlOf,
    stop,
    restart: async () => {
      await child.end();
      await start();
    },
  };
}

/** It refuses to run as root. */
function findOwner(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((entry) => entry.startsWith('nobody:'));
  const [, , uid, gid] = line?.split(':') ?? [];
  return uid === undefined ? undefined : { uid: Number(uid), gid: Number(gid) };
}
