import type { Fold, OperationChanges, OperationInserts, OperationReads } from '../operations/ports.ts';
import type { LeaseStore } from '../replies/ports.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Logger } from '../runtime/log.ts';
import type { Database } from './database.ts';
import { DatabaseLeaseStore } from './lease-store.ts';
import { migrate } from './migrate.ts';
import { OperationChangeStore } from './operation-changes.ts';
import { OperationInsertStore } from './operation-inserts.ts';
import { OperationReadStore } from './operation-reads.ts';
import { PgliteDatabase } from './pglite.ts';
import { type DatabaseHealth, PostgresDatabase } from './postgres.ts';
import { SchemaGate } from './schema-gate.ts';
import { loadMigrations } from './statements.ts';

export interface StoreConfig {
  /** `postgres://…`; null: PGlite in `dataDir`. */
  readonly databaseUrl: string | null;
  /** Folder of the embedded database, or `:memory:`. */
  readonly dataDir: string;
  /** Connections to the server at the most, and one more for leases. Embedded: always one in all. */
  readonly poolSize: number;
  readonly connectTimeoutMs: number;
  readonly queryTimeoutMs: number;
  /** Statements and transactions that may wait for a connection, or for the embedded database's one session. */
  readonly maxWaitingQueries: number;
  /** Topic of the reply partitions that leases are about. */
  readonly replyTopic: string;
  /** See `PgliteOptions.imageFile`; null or left out: not used. */
  readonly pgliteImageFile?: string | null;
}

export interface StoreDeps {
  readonly fold: Fold;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Operations, their events, leases and instances in PostgreSQL. Every method may throw `StoreError`. */
export interface Store extends OperationInserts, OperationChanges, OperationReads, LeaseStore {
  /** Null while the database answers, else why not; never contains a password. */
  degraded(): string | null;
  close(): Promise<void>;
}

/** Leases have a connection of their own: an instance must not lose them because its readers wait in a queue. */
const LEASE_POOL_SIZE = 1;

/**
 * Opens the store and applies migrations. A PostgreSQL server that is away is waited for in the background, and the store
 * says so by `degraded()`; what waiting cannot mend (a folder in use, a wrong password) is thrown.
 */
export async function createStore(config: StoreConfig, deps: StoreDeps): Promise<Store> {
  const { operations, leases } = await openLanes(config, deps);
  const migrations = loadMigrations();
  const gate = new SchemaGate(() => migrate(operations, migrations), deps);
  const lanes = { operations: gate.guard(operations), leases: gate.guard(leases) };
  const store = createStoreOn(lanes, config.replyTopic, deps);
  const close = async () => {
    await gate.close();
    await store.close();
  };
  try {
    await gate.start();
  } catch (error) {
    await close();
    throw error;
  }
  return { ...store, close };
}

/** One server, or one embedded database, in as many lanes; both are the same where it has one session. */
export interface DatabaseLanes {
  readonly operations: Database;
  readonly leases: Database;
}

async function openLanes(config: StoreConfig, deps: StoreDeps): Promise<DatabaseLanes> {
  if (config.databaseUrl === null) {
    const database = await openDatabase(config, deps);
    return { operations: database, leases: database };
  }
  const shared = { ...deps, health: { trouble: null } };
  const operations = await openDatabase(config, shared);
  return { operations, leases: await openDatabase({ ...config, poolSize: LEASE_POOL_SIZE }, shared) };
}

export async function openDatabase(
  config: StoreConfig,
  deps: Pick<StoreDeps, 'clock' | 'logger'> & { readonly health?: DatabaseHealth },
): Promise<Database> {
  if (config.databaseUrl !== null) return new PostgresDatabase({ ...config, url: config.databaseUrl }, deps);
  return PgliteDatabase.open({ ...config, imageFile: config.pgliteImageFile ?? null });
}

/** The store on databases whose migrations are applied. */
export function createStoreOn(lanes: DatabaseLanes, replyTopic: string, deps: StoreDeps): Store {
  const inserts = new OperationInsertStore(lanes.operations, replyTopic);
  const changes = new OperationChangeStore(lanes.operations, replyTopic, deps);
  const reads = new OperationReadStore(lanes.operations);
  const leases = new DatabaseLeaseStore(lanes.leases, deps.clock);
  return {
    insert: (operations) => inserts.insert(operations),
    promote: (operations, lease) => inserts.promote(operations, lease),
    commit: (batch, move) => changes.commit(batch, move),
    read: (ids) => reads.read(ids),
    list: (query) => reads.list(query),
    ensure: (topic, starts) => leases.ensure(topic, starts),
    heartbeat: (beat) => leases.heartbeat(beat),
    take: (claim) => leases.take(claim),
    release: (topic, bootId, partitions) => leases.release(topic, bootId, partitions),
    resetPosition: (topic, proof, nextOffset) => leases.resetPosition(topic, proof, nextOffset),
    retire: (topic, bootId) => leases.retire(topic, bootId),
    degraded: () => lanes.operations.health() ?? lanes.leases.health(),
    close: async () => {
      await Promise.all([lanes.operations.close(), lanes.leases.close()]);
    },
  };
}
