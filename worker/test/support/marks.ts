// A worker on a bus in memory whose marks are in a real PostgreSQL; time is the system's, for the database's is.
import pg from 'pg';
import { systemClock } from '../../src/clock.ts';
import type { Handler } from '../../src/handler-call.ts';
import { type Logger, silentLogger } from '../../src/log.ts';
import { MemoryTransport } from '../../src/memory-transport.ts';
import type { PostgresPool } from '../../src/postgres-client.ts';
import { PostgresDeduplication, type PostgresDeduplicationOptions } from '../../src/postgres-deduplication.ts';
import type { PostgresTransaction } from '../../src/postgres-transaction.ts';
import type { IncomingRecord, WorkerTransport } from '../../src/transport.ts';
import { createWorker, type Worker } from '../../src/worker.ts';
import type { WorkerOptions } from '../../src/worker-options.ts';
import { METHOD, REPLIES, readReply, toRecord } from './bench.ts';

export type PgTransaction = PostgresTransaction<pg.PoolClient>;
type StoreOptions = Partial<PostgresDeduplicationOptions<pg.PoolClient>>;

/** A pool that a database which goes away does not bring down. */
export function createPool(connectionString: string, options: pg.PoolConfig = {}): pg.Pool {
  const pool = new pg.Pool({ connectionString, max: 10, ...options });
  pool.on('error', () => {});
  return pool;
}

export function createStore(pool: PostgresPool<pg.PoolClient>, options: StoreOptions = {}) {
  return new PostgresDeduplication({ pool, logger: silentLogger, ...options });
}

/** What a handler writes: one row a run, so that a doubled effect shows. */
export async function addEffect(transaction: PgTransaction, id: string, note = ''): Promise<void> {
  await transaction.query('INSERT INTO effects (id, note) VALUES ($1, $2)', [id, note]);
}

/** One process's worth of a worker: a pool, a store and a worker of its own, on a bus that several may share. */
export class MarkedWorker {
  readonly worker: Worker<PgTransaction>;
  readonly store: PostgresDeduplication<pg.PoolClient>;
  readonly bus: MemoryTransport;

  constructor(
    pool: PostgresPool<pg.PoolClient>,
    options: {
      bus?: MemoryTransport;
      store?: StoreOptions;
      worker?: Partial<WorkerOptions<PgTransaction>>;
      logger?: Logger;
    } = {},
  ) {
    const logger = options.logger ?? silentLogger;
    this.bus = options.bus ?? new MemoryTransport();
    this.store = createStore(pool, { logger, ...options.store });
    const transport: WorkerTransport = this.bus;
    this.worker = createWorker<PgTransaction>({
      transport,
      group: 'shop',
      clock: systemClock,
      logger,
      deduplication: this.store,
      ...options.worker,
    });
  }

  async serve<Request>(handler: Handler<Request, unknown, PgTransaction>): Promise<this> {
    this.worker.handle(METHOD, handler);
    await this.worker.start();
    return this;
  }

  send(...commands: Parameters<typeof toRecord>[0][]): Promise<void> {
    return this.bus.send(commands.map(toRecord));
  }

  replies() {
    return this.bus.records(REPLIES).map((record: IncomingRecord) => readReply(record));
  }

  terminal() {
    return this.replies().filter(({ kind }) => kind === 'result' || kind === 'error');
  }
}
