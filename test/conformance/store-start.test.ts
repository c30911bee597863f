import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { StoreError } from '../../src/operations/store-ports.ts';
import type { Database } from '../../src/store/database.ts';
import { FolderLockedError } from '../../src/store/folder-lock.ts';
import { migrate } from '../../src/store/migrate.ts';
import { loadMigrations } from '../../src/store/statements.ts';
import { createStore, openDatabase, type StoreConfig } from '../../src/store/store.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { openDyingRelay, openRelay } from '../support/postgres-relay.ts';
import { createTestDatabase, describeWithPostgres } from '../support/real-parts.ts';
import { aNewOperation, TEST_STORE_CONFIG, testStoreDeps } from '../support/store-parts.ts';
import { findFreePorts } from '../support/wait.ts';

const holderScript = fileURLToPath(new URL('../support/hold-data-folder.ts', import.meta.url));

async function withFolder(run: (dataDir: string) => Promise<void>): Promise<void> {
  const dataDir = await mkdtemp(join(tmpdir(), 'sluice-store-'));
  try {
    await run(dataDir);
  } finally {
    await rm(dataDir, { recursive: true, force: true });
  }
}

const certain = (certainlyNotWritten: boolean) => expect.objectContaining({ name: 'StoreError', certainlyNotWritten });

// Each opens the engine several times: half a second, or ten on a machine that has much else to do.
const FIRST = '00000000000000a1';
const SECOND = '00000000000000b2';

describe('the embedded store in a folder', { timeout: 60_000 }, () => {
  it('is refused to a second process, and survives a kill of the first', () =>
    withFolder(async (dataDir) => {
      const config = { ...TEST_STORE_CONFIG, dataDir };
      const holder = spawn(process.execPath, [holderScript, dataDir], { stdio: ['pipe', 'pipe', 'inherit'] });
      const [line] = await once(holder.stdout, 'data');
      await expect(createStore(config, testStoreDeps)).rejects.toThrow(FolderLockedError);
      await expect(createStore(config, testStoreDeps)).rejects.toThrow(dataDir);
      holder.kill('SIGKILL');
      await once(holder, 'close');
      const store = await createStore(config, testStoreDeps);
      expect(await store.read([String(line).trim()])).toHaveLength(1);
      await store.close();
    }));

  it('can be opened again after it was closed, and is refused while it is open', () =>
    withFolder(async (dataDir) => {
      const config = { ...TEST_STORE_CONFIG, dataDir };
      const operation = aNewOperation();
      const first = await createStore(config, testStoreDeps);
      await first.insert([operation]);
      await expect(createStore(config, testStoreDeps)).rejects.toThrow(FolderLockedError);
      await first.close();
      expect(first.degraded()).toMatch(/closed/);
      await expect(first.read([operation.id])).rejects.toEqual(certain(true));
      const second = await createStore(config, testStoreDeps);
      expect(await second.read([operation.id])).toHaveLength(1);
      await second.close();
    }));

  it('is made anew where its maker was killed before it was whole', () =>
    withFolder(async (dataDir) => {
      await mkdir(join(dataDir, 'postgres'));
      await writeFile(join(dataDir, 'postgres', 'PG_VERSION'), '18');
      await writeFile(join(dataDir, 'postgres.unfinished'), '');
      for (const attempt of ['first', 'second']) {
        const store = await createStore({ ...TEST_STORE_CONFIG, dataDir }, testStoreDeps);
        const principal = 'maker';
        const known = await store.list({ principal, command: null, state: null, beforeId: null, limit: 10 });
        expect(known.operations).toHaveLength(attempt === 'first' ? 0 : 1);
        await store.insert([aNewOperation({ principal })]);
        await store.close();
      }
    }));

  it('forgets what earlier processes leased, and takes over what they had', () =>
    withFolder(async (dataDir) => {
      const at = (bootId: string) => ({ ...TEST_STORE_CONFIG, dataDir, bootId, replyTopic: `replies.${bootId}` });
      const operation = aNewOperation({ claimedBy: FIRST });
      const first = await createStore(at(FIRST), testStoreDeps);
      await first.ensure(`replies.${FIRST}`, new Map([[0, 7n]]));
      await first.heartbeat({ topic: `replies.${FIRST}`, bootId: FIRST, leaseMs: 600_000, progress: [] });
      // A position in Kafka, which another start of this folder may have made: it is kept.
      await first.ensure('sluice.replies', new Map([[0, 9n]]));
      await first.insert([operation]);
      await first.hold(FIRST, 600_000);
      await first.close();
      const second = await createStore(at(SECOND), testStoreDeps);
      expect(await second.listLeases(`replies.${FIRST}`)).toEqual([]);
      expect(await second.listLeases('sluice.replies')).toMatchObject([{ nextOffset: 9n }]);
      const beat = { topic: `replies.${SECOND}`, bootId: SECOND, leaseMs: 600_000, progress: [] };
      expect((await second.heartbeat(beat)).liveInstances).toEqual([SECOND]);
      expect(await second.hold(SECOND, 600_000)).toBe(true);
      const claimed = await second.claimAbandoned(SECOND, {
        maxItems: 10,
        maxBytes: 1_000,
        ofTheDead: true,
        exceptTopics: [],
      });
      expect(claimed).toMatchObject([{ operationId: operation.id, maybeSent: true }]);
      await second.close();
    }));

  it('gives its leases to the next process though the topic is the same, from where they stood', () =>
    withFolder(async (dataDir) => {
      const claim = { topic: TEST_STORE_CONFIG.replyTopic, partition: 0, home: true, leaseMs: 600_000 };
      const at = (bootId: string) => ({ ...TEST_STORE_CONFIG, dataDir, bootId });
      const first = await createStore(at('first'), testStoreDeps);
      await first.ensure(claim.topic, new Map([[0, 7n]]));
      await first.take({ ...claim, bootId: 'first' });
      await first.close();
      const second = await createStore(at('second'), testStoreDeps);
      expect(await second.take({ ...claim, bootId: 'second' })).toMatchObject({ owner: 'second', nextOffset: 7n });
      await second.close();
    }));

  it('lets a bounded number of statements wait', async () => {
    const database = await openDatabase({ ...TEST_STORE_CONFIG, maxWaitingQueries: 1 }, testStoreDeps);
    const queries = [1, 2, 3].map((number) => database.query('SELECT $1::int AS number', [number]));
    const outcomes = await Promise.allSettled(queries);
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected']);
    expect(outcomes[2]).toMatchObject({ reason: certain(true) });
    await database.close();
  });
});

describe('a database that cannot be reached', () => {
  it('degrades the store, fails calls at once as certainly not written, and shows no password', async () => {
    const [port] = await findFreePorts(1);
    const databaseUrl = `postgres://someone:s3cret@127.0.0.1:${port}/none`;
    const store = await createStore(
      { ...TEST_STORE_CONFIG, databaseUrl },
      { ...testStoreDeps, clock: new FakeClock() },
    );
    expect(store.degraded()).toMatch(/no connection to the database/);
    expect(store.degraded()).not.toContain('s3cret');
    await expect(store.insert([aNewOperation()])).rejects.toEqual(certain(true));
    await expect(store.heartbeat({ topic: 't', bootId: 'b', leaseMs: 1, progress: [] })).rejects.toEqual(certain(true));
    await store.close();
  });

  it('is a clear error where the URL is none', async () => {
    const opened = createStore({ ...TEST_STORE_CONFIG, databaseUrl: 'mysql://u:s3cret@h/d' }, testStoreDeps);
    await expect(opened).rejects.toThrow(/DATABASE_URL is not a PostgreSQL URL/);
    await expect(opened).rejects.not.toThrow(/s3cret/);
  });
});

describeWithPostgres('a PostgreSQL server', () => {
  const configOf = (databaseUrl: string, parts: Partial<StoreConfig> = {}) => ({
    ...TEST_STORE_CONFIG,
    databaseUrl,
    ...parts,
  });

  const withDatabase = async (parts: Partial<StoreConfig>, run: (database: Database, url: string) => Promise<void>) => {
    const url = await createTestDatabase();
    const database = await openDatabase(configOf(url, parts), testStoreDeps);
    try {
      await run(database, url);
    } finally {
      await database.close();
    }
  };

  it('is migrated once, however many gateways start at the same time', async () => {
    const url = await createTestDatabase();
    const databases = await Promise.all(Array.from({ length: 6 }, () => openDatabase(configOf(url), testStoreDeps)));
    const applied = await Promise.all(databases.map((database) => migrate(database, loadMigrations())));
    expect(applied.flat().sort()).toEqual(
      loadMigrations()
        .map(({ name }) => name)
        .sort(),
    );
    expect(await migrate(databases[0]!, loadMigrations())).toEqual([]);
    await Promise.all(databases.map((database) => database.close()));
  });

  it('that ends a connection in the packet of its greeting is asked again, and the process lives', async () => {
    const relay = await openDyingRelay(await createTestDatabase());
    const database = await openDatabase(configOf(relay.url), testStoreDeps);
    await expect(database.query('SELECT 1 AS one', [])).rejects.toThrow(/postmaster exit|not queryable|terminated/);
    expect(await database.query('SELECT 1 AS one', [])).toEqual([{ one: 1 }]);
    await database.close();
    await relay.close();
  });

  it('keeps nothing of a migration that fails', () =>
    withDatabase({}, async (database) => {
      const broken = { name: '9999-broken.sql', script: 'CREATE TABLE sluice.half (a int); SELECT 1 / 0;' };
      await expect(migrate(database, [...loadMigrations(), broken])).rejects.toThrow(/division by zero/);
      expect(await database.query("SELECT to_regclass('sluice.half')::text AS half", [])).toEqual([{ half: null }]);
      expect(await migrate(database, loadMigrations())).toEqual([]);
    }));

  it('that answers before a commit is on disk is refused, unless that is accepted', () =>
    withDatabase({}, async (database, url) => {
      const name = new URL(url).pathname.slice(1);
      await database.execute(`ALTER DATABASE "${name}" SET synchronous_commit = off`);
      await expect(createStore(configOf(url), testStoreDeps)).rejects.toThrow(/synchronous_commit = off/);
      const store = await createStore(configOf(url, { allowAsyncCommit: true }), testStoreDeps);
      expect(store.degraded()).toBeNull();
      await store.close();
    }));

  it('that comes up late is prepared then, and the store serves', async () => {
    const url = new URL(await createTestDatabase());
    const [port] = await findFreePorts(1);
    const late = new URL(url);
    late.host = `127.0.0.1:${port}`;
    const clock = new FakeClock();
    const store = await createStore(configOf(late.href), { ...testStoreDeps, clock });
    expect(store.degraded()).not.toBeNull();
    const relay = await openRelay(url.href, port);
    clock.advance(250);
    await expect.poll(() => store.degraded(), { timeout: 10_000 }).toBeNull();
    const operation = aNewOperation();
    await store.insert([operation]);
    expect(await store.read([operation.id])).toHaveLength(1);
    await store.close();
    await relay.close();
  });

  it('that goes away degrades the store until it is back', async () => {
    const url = new URL(await createTestDatabase());
    const [port] = await findFreePorts(1);
    const away = new URL(url);
    away.host = `127.0.0.1:${port}`;
    const relay = await openRelay(url.href, port);
    const store = await createStore(configOf(away.href), testStoreDeps);
    await store.list({ principal: '', command: null, state: null, beforeId: null, limit: 1 });
    await relay.close();
    await expect.poll(() => store.read([aNewOperation().id]).catch((error) => error)).toEqual(certain(true));
    expect(store.degraded()).toMatch(/no connection/);
    const again = await openRelay(url.href, port);
    expect(await store.read([aNewOperation().id])).toEqual([]);
    expect(store.degraded()).toBeNull();
    await store.close();
    await again.close();
  });

  it('that does not know the database is a start error, not a wait', async () => {
    const url = new URL(await createTestDatabase());
    url.pathname = '/no-such-database';
    await expect(createStore(configOf(url.href), testStoreDeps)).rejects.toThrow(/no-such-database/);
  });

  it('that does not answer in time loses the connection, and what it did is not known', () =>
    withDatabase({ poolSize: 1, queryTimeoutMs: 1_000 }, async (database, url) => {
      const [before] = await database.query<{ pid: number }>('SELECT pg_backend_pid() AS pid', []);
      const error = await database.query('SELECT pg_sleep(60)', []).catch((reason) => reason);
      expect(error).toBeInstanceOf(StoreError);
      expect(error).toEqual(certain(false));
      expect(database.health()).toMatch(/no answer/);
      const [after] = await database.query<{ pid: number }>('SELECT pg_backend_pid() AS pid', []);
      expect(after?.pid).not.toBe(before?.pid);
      expect(database.health()).toBeNull();
      const onlooker = await openDatabase(configOf(url), testStoreDeps);
      await onlooker.query('SELECT pg_terminate_backend($1::int)', [before?.pid]);
      await onlooker.close();
    }));

  it('lets a bounded number of statements wait', () =>
    withDatabase({ poolSize: 1, maxWaitingQueries: 1 }, async (database) => {
      await database.query('SELECT 1', []);
      const outcomes = await Promise.allSettled([1, 2, 3].map(() => database.query('SELECT 1', [])));
      expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected']);
      expect(outcomes[2]).toMatchObject({ reason: certain(true) });
    }));

  it('rolls back what throws, and the connection serves on', () =>
    withDatabase({ poolSize: 1 }, async (database) => {
      await database.execute('CREATE TABLE public.kept (a int)');
      const failed = database.transaction(async (tx) => {
        await tx.query('INSERT INTO public.kept VALUES (1)', []);
        throw new Error('changed my mind');
      });
      await expect(failed).rejects.toThrow('changed my mind');
      await expect(database.transaction((tx) => tx.query('SELECT 1 / 0', []))).rejects.toEqual(certain(true));
      expect(await database.query('SELECT * FROM public.kept', [])).toEqual([]);
    }));

  it('lets a transaction whose process stops in its midst keep its locks as long as the config says', () =>
    withDatabase({ queryTimeoutMs: 3_000, idleInTransactionTimeoutMs: 300 }, async (database) => {
      await database.execute('CREATE TABLE public.kept (a int); INSERT INTO public.kept VALUES (1)');
      const locked = Promise.withResolvers<void>();
      const resumed = Promise.withResolvers<void>();
      const stopped = database.transaction(async (tx) => {
        await tx.query('UPDATE public.kept SET a = 2', []);
        locked.resolve();
        await resumed.promise;
        await tx.finish([]);
      });
      await locked.promise;
      const others = database.query('UPDATE public.kept SET a = 3 RETURNING a', []);
      const outcome = await others.catch((error) => error).finally(resumed.resolve);
      const ended = await stopped.catch((error) => error);
      expect(outcome).toEqual([{ a: 3 }]);
      expect(ended).toEqual(certain(false));
      expect(await database.query('SELECT a FROM public.kept', [])).toEqual([{ a: 3 }]);
    }));

  it('writes nothing of what is sent with the commit where one of it fails', () =>
    withDatabase({ poolSize: 1 }, async (database) => {
      await database.execute('CREATE TABLE public.kept (a int PRIMARY KEY)');
      const write = (...numbers: number[]) =>
        database.transaction((tx) =>
          tx.finish(numbers.map((number) => ({ sql: 'INSERT INTO public.kept VALUES ($1::int)', params: [number] }))),
        );
      await expect(write(1, 2, 2, 3)).rejects.toThrow(/duplicate key/);
      await write(4, 5);
      expect(await database.query('SELECT a FROM public.kept ORDER BY a', [])).toEqual([{ a: 4 }, { a: 5 }]);
    }));

  it('runs a transaction again that lost a deadlock', () =>
    withDatabase({}, async (database) => {
      await database.execute(
        'CREATE TABLE public.counted (id int PRIMARY KEY, n int); INSERT INTO public.counted VALUES (1, 0), (2, 0)',
      );
      let holding = 0;
      let runs = 0;
      let letGo: () => void = () => undefined;
      const bothHold = new Promise<void>((resolve) => {
        letGo = resolve;
      });
      const increment = (order: number[]) =>
        database.transaction(async (tx) => {
          runs += 1;
          for (const id of order) {
            await tx.query('UPDATE public.counted SET n = n + 1 WHERE id = $1::int', [id]);
            if (++holding === 2) letGo();
            await bothHold;
          }
        });
      await Promise.all([increment([1, 2]), increment([2, 1])]);
      expect(runs).toBe(3);
      expect(await database.query('SELECT n FROM public.counted', [])).toEqual([{ n: 2 }, { n: 2 }]);
    }));
});
