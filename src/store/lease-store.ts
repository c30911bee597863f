import type { LeaseProof } from '../operations/store-ports.ts';
import type { HeartbeatResult, LeaseProgress, LeaseRow, LeaseStore } from '../replies/ports.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Database, Queryable } from './database.ts';
import { loadStatement } from './statements.ts';

const ENSURE = loadStatement('ensure-leases');
const BEAT = loadStatement('beat-instance');
const RENEW = loadStatement('renew-leases');
const PROGRESS = loadStatement('progress-leases');
const LIVE = loadStatement('live-instances');
const READ = loadStatement('read-leases');
const LOCK_FREE = loadStatement('lock-free-lease');
const TAKE = loadStatement('take-lease');
const RELEASE = loadStatement('release-leases');
const RESET = loadStatement('reset-position');
const END = loadStatement('end-instance');
const LIST_OPEN = loadStatement('list-open-at');

interface Row {
  readonly partition: number;
  readonly owner: string | null;
  readonly home: boolean;
  readonly fence: bigint;
  readonly next_offset: bigint;
  readonly expired: boolean;
}

/**
 * Leases of reply partitions and the life of instances. Whoever asks, time is compared in SQL with the database's clock,
 * so no instance's own clock decides who owns what. Every method throws `StoreError`.
 */
export class DatabaseLeaseStore implements LeaseStore {
  readonly #database: Database;
  readonly #clock: Clock;

  constructor(database: Database, clock: Clock) {
    this.#database = database;
    this.#clock = clock;
  }

  async ensure(topic: string, starts: ReadonlyMap<number, bigint>): Promise<void> {
    if (starts.size === 0) return;
    await this.#database.query(ENSURE, [topic, [...starts.keys()], [...starts.values()]]);
  }

  heartbeat(beat: Parameters<LeaseStore['heartbeat']>[0]): Promise<HeartbeatResult> {
    const { topic, bootId, leaseMs, progress } = beat;
    return this.#database.transaction(async (tx) => {
      const clockOffsetMs = await this.#beat(tx, bootId, leaseMs);
      await tx.query(RENEW, [topic, bootId, leaseMs]);
      const moved = await writeProgress(tx, topic, bootId, progress);
      const live = await tx.query<{ boot_id: string }>(LIVE, []);
      const leases = await tx.query<Row>(READ, [topic]);
      return { clockOffsetMs, liveInstances: live.map((row) => row.boot_id), leases: leases.map(toLease), moved };
    });
  }

  take(claim: Parameters<LeaseStore['take']>[0]): Promise<LeaseRow | null> {
    const { topic, partition, bootId, home, leaseMs } = claim;
    return this.#database.transaction(async (tx) => {
      const free = await tx.query(LOCK_FREE, [topic, partition, bootId]);
      if (free.length === 0) return null;
      const [taken] = await tx.query<Row>(TAKE, [topic, partition, bootId, home, leaseMs]);
      return taken ? toLease(taken) : null;
    });
  }

  async release(topic: string, bootId: string, partitions: readonly number[]): Promise<void> {
    if (partitions.length > 0) await this.#database.query(RELEASE, [topic, bootId, partitions]);
  }

  async listLeases(topic: string): Promise<readonly LeaseRow[]> {
    return (await this.#database.query<Row>(READ, [topic])).map(toLease);
  }

  async listOpenAt(partition: number, limit: number): Promise<readonly string[]> {
    const rows = await this.#database.query<{ id: string }>(LIST_OPEN, [partition, limit]);
    return rows.map(({ id }) => id);
  }

  async resetPosition(topic: string, proof: LeaseProof, nextOffset: bigint): Promise<boolean> {
    const rows = await this.#database.query(RESET, [topic, proof.partition, proof.fence, nextOffset]);
    return rows.length > 0;
  }

  retire(topic: string, bootId: string): Promise<void> {
    return this.#database.transaction(async (tx) => {
      await tx.query(RELEASE, [topic, bootId, null]);
      await tx.query(END, [bootId]);
    });
  }

  /** The database's clock against the middle of the round trip, in whole milliseconds as all times that rows keep. */
  async #beat(tx: Queryable, bootId: string, leaseMs: number): Promise<number> {
    const sentMs = this.#clock.wallMs();
    const [row] = await tx.query<{ now_ms: number }>(BEAT, [bootId, leaseMs]);
    const receivedMs = this.#clock.wallMs();
    return Math.round((row as { now_ms: number }).now_ms - (sentMs + receivedMs) / 2);
  }
}

async function writeProgress(
  tx: Queryable,
  topic: string,
  bootId: string,
  progress: readonly LeaseProgress[],
): Promise<readonly number[]> {
  if (progress.length === 0) return [];
  const rows = await tx.query<{ partition: number }>(PROGRESS, [
    topic,
    bootId,
    progress.map((one) => one.partition),
    progress.map((one) => one.fence),
    progress.map((one) => one.expectedOffset),
    progress.map((one) => one.nextOffset),
  ]);
  return rows.map((row) => row.partition);
}

function toLease(row: Row): LeaseRow {
  const { partition, owner, home, fence, expired } = row;
  return { partition, owner, home, fence, nextOffset: row.next_offset, expired };
}
