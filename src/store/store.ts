import type { ChoresLease, DueOperations, OwedRecords, Retention, Unreconciled } from '../chores/ports.ts';
import type { ChangeHints } from '../delivery/ports.ts';
import type { Outbox } from '../operations/outbox/outbox-port.ts';
import type { UnreconciledReads } from '../operations/resource/administration.ts';
import type { Fold, OperationChanges, OperationInserts, OperationReads } from '../operations/store-ports.ts';
import type { LeaseStore } from '../replies/ports.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Logger } from '../runtime/log.ts';
import { NO_HINTS, PostgresChangeHints } from './change-hints.ts';
import { ChangeNotices } from './change-notices.ts';
import { createStoreOn } from './create-store.ts';
import type { Database } from './database.ts';
import { DatabaseHealth } from './database-health.ts';
import { refuseAsyncCommit } from './durable-commits.ts';
import { migrate } from './migrate.ts';
import { PgliteDatabase } from './pglite.ts';
import { PostgresDatabase } from './postgres.ts';
import { SchemaGate } from './schema-gate.ts';
import { loadMigrations, loadStatement } from './statements.ts';

const FORGET_EARLIER_BOOTS = loadStatement('forget-earlier-boots');

export interface StoreConfig {
  /** `postgres://…`; null: PGlite in `dataDir`. */
  readonly databaseUrl: string | null;
  /** Server for LISTEN, where `databaseUrl` is a pooler's; null: `databaseUrl`. */
  readonly listenUrl: string | null;
  /** Take a server that answers before a commit is on disk. */
  readonly allowAsyncCommit: boolean;
  /** Folder of the embedded database, or `:memory:`. */
  readonly dataDir: string;
  /** Connections to the server at the most, and one more for leases and one for LISTEN. Embedded: always one in all. */
  readonly poolSize: number;
  readonly connectTimeoutMs: number;
  readonly queryTimeoutMs: number;
  /** See `PostgresOptions`. */
  readonly idleInTransactionTimeoutMs: number;
  /** Statements and transactions that may wait for a connection, or for the embedded database's one session. */
  readonly maxWaitingQueries: number;
  /** Topic of the reply partitions that leases are about. */
  readonly replyTopic: string;
  /** Of this instance: who notifies, and whose notifications are its own. */
  readonly bootId: string;
  /** Whether each event is owed to the topic of lifecycle events. */
  readonly lifecycleEvents: boolean;
  /** See `StoreParts`. */
  readonly knownOperations: number;
  /** See `StoreParts`. */
  readonly maxPageBytes: number;
  /** See `PgliteOptions.imageFile`; null or left out: not used. */
  readonly pgliteImageFile?: string | null;
}

export interface StoreDeps {
  readonly fold: Fold;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Operations, their events, leases and instances in PostgreSQL. Every method may throw `StoreError`. */
export interface Store
  extends OperationInserts,
    OperationChanges,
    OperationReads,
    Outbox,
    LeaseStore,
    ChoresLease,
    DueOperations,
    OwedRecords,
    Retention,
    Unreconciled,
    UnreconciledReads {
  readonly hints: ChangeHints;
  /** Null while the database answers and does what is asked of it, else why not; never contains a password. */
  degraded(): string | null;
  /** Ends the hints too. */
  close(): Promise<void>;
}

/** Leases have a connection of their own: an instance must not lose them because its readers wait in a queue. */
const LEASE_POOL_SIZE = 1;
const PROOF = { proofEveryMs: 10_000, proofWithinMs: 5_000 };

/**
 * Opens the store and applies migrations. A PostgreSQL server that is away is waited for in the background, and the store
 * says so by `degraded()`; what waiting cannot mend (a folder in use, a wrong password) is thrown.
 */
export async function createStore(config: StoreConfig, deps: StoreDeps): Promise<Store> {
  const { operations, leases } = await openLanes(config, deps);
  const gate = new SchemaGate(() => prepare(operations, config), deps);
  const lanes = { operations: gate.guard(operations), leases: gate.guard(leases) };
  const notices = config.databaseUrl === null ? null : new ChangeNotices(config.bootId);
  const hints = createHints(config, lanes.operations, notices, deps);
  const store = createStoreOn(lanes, { ...config, notices, hints }, deps);
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

/** Resolves with the names of the migrations that were applied. */
async function prepare(database: Database, config: StoreConfig): Promise<readonly string[]> {
  if (config.databaseUrl !== null && !config.allowAsyncCommit) await refuseAsyncCommit(database);
  const applied = await migrate(database, loadMigrations());
  if (config.databaseUrl === null) await database.query(FORGET_EARLIER_BOOTS, [config.replyTopic, config.bootId]);
  return applied;
}

function createHints(
  config: StoreConfig,
  database: Database,
  notices: ChangeNotices | null,
  { clock, logger }: StoreDeps,
): ChangeHints {
  const { databaseUrl, listenUrl, bootId, connectTimeoutMs } = config;
  if (databaseUrl === null || notices === null) return NO_HINTS;
  const options = { url: listenUrl ?? databaseUrl, bootId, connectTimeoutMs, ...PROOF };
  return new PostgresChangeHints(options, { database, notices, clock, logger });
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
  const shared = { ...deps, health: new DatabaseHealth(deps.clock) };
  const operations = await openDatabase(config, shared);
  return { operations, leases: await openDatabase({ ...config, poolSize: LEASE_POOL_SIZE }, shared) };
}

export async function openDatabase(
  config: StoreConfig,
  deps: Pick<StoreDeps, 'clock' | 'logger'> & { readonly health?: DatabaseHealth },
): Promise<Database> {
  if (config.databaseUrl !== null) return new PostgresDatabase({ ...config, url: config.databaseUrl }, deps);
  return PgliteDatabase.open({ ...config, imageFile: config.pgliteImageFile ?? null }, deps);
}
