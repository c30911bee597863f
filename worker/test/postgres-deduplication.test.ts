import type pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { openDyingRelay } from '../../test/support/postgres-relay.ts';
import { createTestDatabase, describeWithPostgres } from '../../test/support/real-parts.ts';
import { CommandError } from '../src/errors.ts';
import type { Logger } from '../src/log.ts';
import { MemoryTransport } from '../src/memory-transport.ts';
import type { PostgresPool } from '../src/postgres-client.ts';
import { createGate } from './support/bench.ts';
import { addEffect, createPool, createStore, MarkedWorker } from './support/marks.ts';

describeWithPostgres('marks of commands in PostgreSQL', () => {
  let url: string;
  let pool: pg.Pool;
  const workers: MarkedWorker[] = [];
  const pools: pg.Pool[] = [];

  beforeAll(async () => {
    url = await createTestDatabase();
    pool = createPool(url);
    await pool.query('CREATE TABLE effects (id text NOT NULL, note text)');
    await createStore(pool).ensure();
  });

  beforeEach(async () => {
    await pool.query('TRUNCATE effects, sluice_command_marks');
  });

  afterEach(async () => {
    await Promise.all(workers.splice(0).map(({ worker }) => worker.stop({ timeoutMs: 1, graceMs: 1 })));
    await Promise.all(pools.splice(0).map((each) => each.end()));
  });

  afterAll(() => pool?.end());

  /** With a pool of its own, as another process has. */
  function createMarked(
    options: ConstructorParameters<typeof MarkedWorker>[1] = {},
    own = createPool(url),
  ): MarkedWorker {
    pools.push(own);
    const marked = new MarkedWorker(own, options);
    workers.push(marked);
    return marked;
  }

  const effects = async () => (await pool.query('SELECT id, note FROM effects ORDER BY id, note')).rows;
  const marks = async () =>
    (await pool.query('SELECT command_id AS id, reply_kind AS kind FROM sluice_command_marks')).rows;

  describe('a command that comes twice', () => {
    test('has one effect; a process that never saw it sends the stored reply, headers and all', async () => {
      const bus = new MemoryTransport();
      const first = await createMarked({ bus }).serve(async (_request, context) => {
        await addEffect(context.transaction, context.operationId ?? '');
        context.setStatus(201);
        context.setHeader('etag', '"1"');
        return { sku: 'BÜCH' };
      });
      await first.send({ id: 'a' });
      await expect.poll(() => first.terminal().length).toBe(1);
      await first.worker.stop();
      const second = await createMarked({ bus }).serve(() => ({ sku: 'another' }));
      await second.send({ id: 'a', headers: { 'sluice-attempt': '2', kafka_correlationId: 'again.correlation' } });
      await expect.poll(() => second.terminal().length).toBe(2);
      const [one, two] = second.terminal();
      expect(two).toMatchObject({ id: 'again', kind: 'result', value: { sku: 'BÜCH' } });
      const plain = (headers: ReadonlyMap<string, string> | undefined) =>
        [...(headers ?? [])].filter(([name]) => name !== 'kafka_correlationId');
      expect(plain(two?.headers)).toEqual(plain(one?.headers));
      expect(await effects()).toEqual([{ id: 'a', note: '' }]);
    });

    test('while another process runs it waits, beyond the bound of one wait, and is answered with that reply', async () => {
      const handlers = createGate<object>();
      const first = await createMarked().serve(async (_request, context) => {
        await addEffect(context.transaction, 'a');
        return handlers.wait('a');
      });
      await first.send({ id: 'a' });
      await expect.poll(() => handlers.started).toEqual(['a']);
      const waits: string[] = [];
      const logger: Logger = {
        debug: (_fields, message) => void waits.push(message),
        info() {},
        warn() {},
        error() {},
      };
      const second = createMarked({ store: { lockWaitMs: 50, logger } });
      await second.serve(() => ({ by: 'second' }));
      await second.send({ id: 'a' });
      await expect.poll(() => waits.length).toBeGreaterThan(1);
      expect(second.terminal()).toEqual([]);
      await handlers.release('a', { by: 'first' });
      await expect.poll(() => second.terminal()).toMatchObject([{ value: { by: 'first' } }]);
      expect(await effects()).toHaveLength(1);
    });

    test('while another process runs it, which is interrupted, is run by the one that waited', async () => {
      const first = createMarked();
      await first.serve(async (_request, context) => {
        await addEffect(context.transaction, 'a', 'first');
        await new Promise((_resolve, reject) => {
          context.signal.addEventListener('abort', () => reject(context.signal.reason));
        });
      });
      await first.send({ id: 'a' });
      await expect.poll(() => inTransaction(pool)).toBe(1);
      const second = await createMarked().serve(async (_request, context) => {
        await addEffect(context.transaction, 'a', 'second');
        return {};
      });
      await second.send({ id: 'a' });
      await first.worker.stop({ timeoutMs: 1 });
      await expect.poll(() => second.terminal()).toMatchObject([{ kind: 'result' }]);
      expect(first.terminal()).toEqual([]);
      expect(await effects()).toEqual([{ id: 'a', note: 'second' }]);
    });

    test('in ten processes at once has one effect and ten equal answers', async () => {
      const all = await Promise.all(
        Array.from({ length: 10 }, (_, n) =>
          createMarked({}, createPool(url, { max: 2 })).serve(async (_request, context) => {
            await addEffect(context.transaction, context.operationId ?? '', String(n));
            return { by: n };
          }),
        ),
      );
      const ids = Array.from({ length: 20 }, (_, n) => `c${n}`);
      await Promise.all(all.map((marked) => marked.send(...ids.map((id) => ({ id })))));
      for (const marked of all) await expect.poll(() => marked.terminal().length, { timeout: 15_000 }).toBe(20);
      expect((await effects()).map(({ id }) => id)).toEqual(ids.toSorted());
      for (const id of ids) {
        const answers = all.flatMap((marked) => marked.terminal().filter((reply) => reply.id === id));
        expect(new Set(answers.map(({ value }) => JSON.stringify(value))).size).toBe(1);
      }
    });

    test('in a group of its own is a command of its own', async () => {
      const both = [createMarked({ worker: { group: 'shop' } }), createMarked({ worker: { group: 'audit' } })];
      for (const [n, marked] of both.entries()) {
        await marked.serve(async (_request, context) => {
          await addEffect(context.transaction, 'a', String(n));
          return { n };
        });
        await marked.send({ id: 'a' });
        await expect.poll(() => marked.terminal()).toMatchObject([{ value: { n } }]);
      }
      expect(await effects()).toHaveLength(2);
    });
  });

  describe('a handler that fails', () => {
    test('with a CommandError: its effect is undone, and a duplicate gets the same error', async () => {
      let runs = 0;
      const marked = await createMarked().serve(async (_request, context) => {
        runs += 1;
        await addEffect(context.transaction, 'a');
        throw new CommandError('FAILED_PRECONDITION', 'sold out', [{ sku: 'BOOK' }]);
      });
      await marked.send({ id: 'a' }, { id: 'a' });
      await expect.poll(() => marked.terminal().length).toBe(2);
      const error = { code: 'FAILED_PRECONDITION', message: 'sold out', details: [{ sku: 'BOOK' }] };
      expect(marked.terminal()).toMatchObject([{ value: error }, { value: error }]);
      expect(runs).toBe(1);
      expect(await effects()).toEqual([]);
      expect(await marks()).toEqual([{ id: 'a', kind: 'error' }]);
    });

    test('and hides that a statement of its own failed: INTERNAL, nothing is committed', async () => {
      const marked = await createMarked().serve(async (_request, context) => {
        await addEffect(context.transaction, 'a');
        await context.transaction.query('SELECT nonsense').catch(() => {});
        return { ok: true };
      });
      await marked.send({ id: 'a' });
      await expect.poll(() => marked.terminal()).toMatchObject([{ kind: 'error', code: 'INTERNAL' }]);
      expect(await effects()).toEqual([]);
      expect(await marks()).toEqual([{ id: 'a', kind: 'error' }]);
    });

    test('at the commit, by a deferred constraint: INTERNAL, nothing is committed, and it does not run again', async () => {
      await pool.query('CREATE TABLE parents (id text PRIMARY KEY)');
      await pool.query('CREATE TABLE children (id text REFERENCES parents DEFERRABLE INITIALLY DEFERRED)');
      let runs = 0;
      const marked = await createMarked().serve(async (_request, context) => {
        runs += 1;
        await context.transaction.query('INSERT INTO children VALUES ($1)', ['orphan']);
        return { ok: true };
      });
      await marked.send({ id: 'a' }, { id: 'a' });
      await expect.poll(() => marked.terminal().length).toBe(2);
      expect(marked.terminal()).toMatchObject([{ code: 'INTERNAL' }, { code: 'INTERNAL' }]);
      expect(runs).toBe(1);
    });

    test('by its deadline: what it wrote is undone, and what it writes later reaches nobody', async () => {
      const handlers = createGate<void>();
      const late: string[] = [];
      const marked = await createMarked().serve(async (_request, context) => {
        await addEffect(context.transaction, 'a', 'before');
        await handlers.wait('a');
        await addEffect(context.transaction, 'a', 'after').catch((error: Error) => late.push(error.message));
      });
      await marked.send({ id: 'a', deadlineMs: Date.now() + 300 });
      await expect.poll(() => marked.terminal()).toMatchObject([{ code: 'DEADLINE_EXCEEDED' }]);
      await expect.poll(marks).toEqual([{ id: 'a', kind: 'error' }]);
      await handlers.release('a', undefined);
      await expect.poll(() => late).toEqual(['the transaction of this command is over']);
      expect(await effects()).toEqual([]);
    });
  });

  describe('a connection that is lost', () => {
    test('while the handler runs: nothing stands, and the command runs again to one effect', async () => {
      let runs = 0;
      const marked = await createMarked().serve(async (_request, context) => {
        runs += 1;
        await addEffect(context.transaction, 'a', `run ${runs}`);
        if (runs === 1) await pool.query(KILL_OTHERS);
        await addEffect(context.transaction, 'b', `run ${runs}`);
        return { runs };
      });
      await marked.send({ id: 'a' });
      await expect.poll(() => marked.terminal()).toMatchObject([{ kind: 'result', value: { runs: 2 } }]);
      expect(await effects()).toEqual([
        { id: 'a', note: 'run 2' },
        { id: 'b', note: 'run 2' },
      ]);
    });

    test('while it is being made, in the packet of its greeting: the process lives, and the command runs', async () => {
      const relay = await openDyingRelay(url);
      try {
        const marked = createMarked({}, createPool(relay.url));
        await marked.serve(async (_request, context) => {
          await addEffect(context.transaction, 'a');
          return {};
        });
        await marked.send({ id: 'a' });
        await expect.poll(() => marked.terminal()).toMatchObject([{ kind: 'result' }]);
        expect(await effects()).toEqual([{ id: 'a', note: '' }]);
      } finally {
        await Promise.all(workers.splice(0).map(({ worker }) => worker.stop({ timeoutMs: 1, graceMs: 1 })));
        await Promise.all(pools.splice(0).map((each) => each.end()));
        await relay.close();
      }
    });

    for (const stands of [true, false]) {
      const ending = stands ? 'which stands: its reply is sent' : 'which does not stand';

      test(`during the commit, ${ending}: one effect, told as it is`, async () => {
        const { marked, runs } = await serveWithLostCommit(stands);
        await marked.send({ id: 'a' });
        await expect.poll(() => marked.terminal().length).toBe(1);
        expect(runs()).toBe(stands ? 1 : 2);
        expect(marked.terminal()).toMatchObject([{ kind: 'result', value: { runs: runs() } }]);
        expect(await effects()).toEqual([{ id: 'a', note: `run ${runs()}` }]);
      });

      test(`during the commit, ${ending}, and known only after the deadline: the truth is told late`, async () => {
        const deadlineMs = Date.now() + 500;
        const { marked, runs } = await serveWithLostCommit(stands, deadlineMs);
        await marked.send({ id: 'a', deadlineMs });
        await expect.poll(() => marked.terminal().length).toBe(1);
        expect(marked.terminal()[0]).toMatchObject(stands ? { value: { runs: 1 } } : { code: 'DEADLINE_EXCEEDED' });
        expect(runs()).toBe(1);
        expect(await effects()).toHaveLength(stands ? 1 : 0);
      });
    }

    async function serveWithLostCommit(stands: boolean, untilMs = 0) {
      const real = createPool(url);
      pools.push(real);
      let runs = 0;
      const marked = new MarkedWorker(loseFirstCommit(real, stands, untilMs));
      workers.push(marked);
      await marked.serve(async (_request, context) => {
        runs += 1;
        await addEffect(context.transaction, 'a', `run ${runs}`);
        return { runs };
      });
      return { marked, runs: () => runs };
    }

    test('in a deadlock with another command: one is undone and runs again, both have their effect once', async () => {
      await pool.query("INSERT INTO effects VALUES ('x', ''), ('y', '')");
      const met = createGate<void>();
      const runs: string[] = [];
      const marked = await createMarked().serve(async ({ rows }: { rows: string[] }, context) => {
        const { transaction, operationId } = context;
        runs.push(operationId ?? '');
        const touch = (id: string | undefined) =>
          transaction.query('UPDATE effects SET note = note || $1 WHERE id = $2', [operationId, id]);
        await touch(rows[0]);
        if (runs.length <= 2) await met.wait(operationId ?? '');
        await touch(rows[1]);
        return {};
      });
      await marked.send({ id: '1', value: { rows: ['x', 'y'] } }, { id: '2', value: { rows: ['y', 'x'] } });
      await expect.poll(() => met.started.toSorted()).toEqual(['1', '2']);
      for (const id of ['1', '2']) await met.release(id, undefined);
      await expect.poll(() => marked.terminal().length, { timeout: 10_000 }).toBe(2);
      expect(marked.terminal().map(({ kind }) => kind)).toEqual(['result', 'result']);
      expect(runs).toHaveLength(3);
      for (const { note } of await effects()) expect([...note].toSorted()).toEqual(['1', '2']);
    });
  });

  describe('the store', () => {
    test('bounds each wait on its own side: a server that does not answer is given up, and says so', async () => {
      const store = createStore(createHangingPool(), { statementTimeoutMs: 20, lockWaitMs: 10, startTimeoutMs: 1 });
      await expect(store.ensure()).rejects.toThrow('no answer from PostgreSQL within 20 ms');
      const poolWithoutRoom = { connect: () => new Promise<never>(() => {}) };
      const starved = createStore(poolWithoutRoom, { connectTimeoutMs: 20, startTimeoutMs: 1 });
      await expect(starved.ensure()).rejects.toThrow('no connection from the pool within 20 ms');
    });

    test('purges marks past their retention in small batches, and no others', async () => {
      const store = createStore(pool, { retentionMs: 3_600_000 });
      await pool.query(`INSERT INTO sluice_command_marks (worker_group, command_id, marked_at)
        SELECT 'shop', 'old' || n, now() - interval '2 hours' FROM generate_series(1, 700) AS n
        UNION ALL SELECT 'shop', 'new' || n, now() - interval '50 minutes' FROM generate_series(1, 3) AS n`);
      expect([await store.purge(), await store.purge(), await store.purge()]).toEqual([500, 200, 0]);
      expect((await marks()).map(({ id }) => id).toSorted()).toEqual(['new1', 'new2', 'new3']);
    });

    test('purges by itself while commands run', async () => {
      await pool.query(`INSERT INTO sluice_command_marks (worker_group, command_id, marked_at)
        SELECT 'shop', 'old' || n, now() - interval '9 days' FROM generate_series(1, 400) AS n`);
      const marked = await createMarked().serve(() => ({}));
      await marked.send(...Array.from({ length: 260 }, (_, n) => ({ id: `n${n}` })));
      await expect.poll(async () => (await marks()).length, { timeout: 10_000 }).toBe(260);
    });

    test('makes its table in a schema, also twice at once; says which table cannot be used, and why', async () => {
      await pool.query('CREATE SCHEMA warehouse');
      const table = 'warehouse.Marks';
      await Promise.all([createStore(pool, { table }).ensure(), createStore(pool, { table }).ensure()]);
      const key = { group: 'shop', id: 'a' };
      const reply = { kind: 'result', contentType: null, value: null, headers: [] } as const;
      const { signal } = new AbortController();
      const store = createStore(pool, { table });
      await store.runOnce(key, async () => reply, { signal, stopped: signal });
      expect(await store.find(key)).toEqual(reply);
      await expect(createStore(pool, { table: 'effects' }).ensure()).rejects.toThrow('table effects cannot be used');
      await expect(createStore(pool, { table: 'nowhere.marks' }).ensure()).rejects.toThrow(
        'table nowhere.marks of marks could not be made: schema "nowhere" does not exist',
      );
      expect(() => createStore(pool, { table: 'a; drop' })).toThrow('table: expected table or schema.table');
      expect(() => createStore(pool, { lockWaitMs: 20_000 })).toThrow('lockWaitMs: expected less than');
    });
  });
});

const KILL_OTHERS = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
  WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'idle in transaction'`;

async function inTransaction(pool: pg.Pool): Promise<number> {
  const { rowCount } = await pool.query(`SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND state = 'idle in transaction'`);
  return rowCount ?? 0;
}

/** Its first COMMIT gets no answer: the connection ends, after the commit or before it, and not before `untilMs`. */
function loseFirstCommit(real: pg.Pool, stands: boolean, untilMs: number): PostgresPool<pg.PoolClient> {
  let lost = false;
  return {
    async connect() {
      const client = await real.connect();
      const query = client.query.bind(client) as (text: string, params?: unknown[]) => Promise<pg.QueryResult>;
      const losing = async (text: string, params?: unknown[]) => {
        if (text !== 'COMMIT' || lost) return query(text, params);
        lost = true;
        if (stands) await query(text);
        await vi.waitFor(() => expect(Date.now()).toBeGreaterThan(untilMs));
        throw new Error('Connection terminated unexpectedly');
      };
      const release = (error?: Error) => client.release(error);
      return { query: losing, release } as unknown as pg.PoolClient;
    },
  };
}

function createHangingPool(): PostgresPool<pg.PoolClient> {
  const client = { query: () => new Promise<never>(() => {}), release() {} };
  return { connect: async () => client as unknown as pg.PoolClient };
}
