import type { DueOperations, SilentOperation, Unreconciled } from '../chores/ports.ts';
import type { Operation } from '../operations/operation.ts';
import type { UnreconciledReads } from '../operations/resource/administration.ts';
import type { Queryable } from './database.ts';
import { type OperationRow, toOperation } from './operation-row.ts';
import { loadStatement } from './statements.ts';

const NOW = loadStatement('read-now');
const POSITIONS = loadStatement('read-positions');
const EXPIRABLE = loadStatement('list-expirable');
const UNSENDABLE = loadStatement('list-unsendable');
const SILENT = loadStatement('list-silent');
const UNRECONCILED = loadStatement('list-unreconciled');
const COUNT_UNRECONCILED = loadStatement('count-unreconciled');

interface SilentRow {
  readonly id: string;
  readonly record_topic: string;
  readonly attempt: number;
  readonly worker_group: string | null;
  readonly published_partition: number;
  readonly published_offset: bigint;
}

/** What is due, or overdue, by the clock of the database. Throws `StoreError`. */
export class DueOperationStore implements DueOperations, Unreconciled, UnreconciledReads {
  readonly #database: Queryable;
  readonly #replyTopic: string;

  constructor(database: Queryable, replyTopic: string) {
    this.#database = database;
    this.#replyTopic = replyTopic;
  }

  async nowMs(): Promise<number> {
    const [row] = await this.#database.query<{ now_ms: number }>(NOW, []);
    return (row as { now_ms: number }).now_ms;
  }

  async readPositions(): Promise<ReadonlyMap<number, bigint>> {
    const rows = await this.#database.query<{ partition: number; next_offset: bigint }>(POSITIONS, [this.#replyTopic]);
    return new Map(rows.map((row) => [row.partition, row.next_offset]));
  }

  listExpirable(untilMs: number, limit: number): Promise<readonly Operation[]> {
    return this.#list(EXPIRABLE, [untilMs, limit]);
  }

  listUnsendable(limit: number): Promise<readonly Operation[]> {
    return this.#list(UNSENDABLE, [limit]);
  }

  async listSilent(untilMs: number, limit: number, afterId: string | null): Promise<readonly SilentOperation[]> {
    const rows = await this.#database.query<SilentRow>(SILENT, [untilMs, limit, afterId]);
    return rows.map((row) => ({
      operationId: row.id,
      topic: row.record_topic,
      attempt: row.attempt,
      workerGroup: row.worker_group,
      publishedPartition: row.published_partition,
      publishedOffset: row.published_offset,
    }));
  }

  listUnreconciled({ beforeId, limit }: { readonly beforeId: string | null; readonly limit: number }) {
    return this.#list(UNRECONCILED, [beforeId, limit]);
  }

  async countUnreconciled(limit: number): Promise<number> {
    const [row] = await this.#database.query<{ number: number }>(COUNT_UNRECONCILED, [null, limit]);
    return (row as { number: number }).number;
  }

  async #list(sql: string, params: readonly unknown[]): Promise<readonly Operation[]> {
    return (await this.#database.query<OperationRow>(sql, params)).map(toOperation);
  }
}
