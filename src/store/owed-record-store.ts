import type { OwedDeadLetter, OwedEvent, OwedRecords, Retention } from '../chores/ports.ts';
import type { Operation } from '../operations/operation.ts';
import type { RecordedEvent } from '../operations/store-ports.ts';
import type { Queryable } from './database.ts';
import { type EventRow, toRecordedEvent } from './event-data.ts';
import { type OperationRow, toOperation } from './operation-row.ts';
import { loadStatement } from './statements.ts';
import { type RecordRow, toRecord } from './stored-record.ts';

const DEAD_LETTERS = loadStatement('list-owed-dead-letters');
const CLEAR_DEAD_LETTERS = loadStatement('clear-dead-letters');
const HISTORIES = loadStatement('read-histories');
const CANCELLATIONS = loadStatement('list-owed-cancellations');
const CLEAR_CANCELLATIONS = loadStatement('clear-cancellations');
const EVENTS = loadStatement('list-owed-events');
const CLEAR_EVENTS = loadStatement('clear-events');
const PURGE = loadStatement('purge-operations');

const BEFORE_ALL_IDS = '00000000-0000-0000-0000-000000000000';

interface PurgeAnswer {
  readonly purged: number;
  readonly looked: number;
  /** Null where nothing was looked at. */
  readonly is_at_young: boolean | null;
  readonly last_id: string | null;
}

interface OwedEventRow extends EventRow {
  readonly command: string;
  readonly has_more: boolean;
}

/** What settled operations still owe to topics of ours, and the end of those that owe nothing. Throws `StoreError`. */
export class OwedRecordStore implements OwedRecords, Retention {
  readonly #database: Queryable;
  readonly #maxPageBytes: number;

  constructor(database: Queryable, options: { readonly maxPageBytes: number }) {
    this.#database = database;
    this.#maxPageBytes = options.maxPageBytes;
  }

  async listOwedDeadLetters(limit: number): Promise<readonly OwedDeadLetter[]> {
    const rows = await this.#database.query<OperationRow & RecordRow>(DEAD_LETTERS, [limit]);
    const histories = await this.#readHistories(rows.map(({ id }) => id));
    return rows.map((row) => ({
      operation: toOperation(row),
      record: toRecord(row),
      history: histories.get(row.id) ?? [],
    }));
  }

  async clearDeadLetters(operationIds: readonly string[]): Promise<void> {
    if (operationIds.length > 0) await this.#database.query(CLEAR_DEAD_LETTERS, [operationIds]);
  }

  async listOwedCancellations({
    minAgeMs,
    limit,
  }: {
    readonly minAgeMs: number;
    readonly limit: number;
  }): Promise<readonly Operation[]> {
    return (await this.#database.query<OperationRow>(CANCELLATIONS, [minAgeMs, limit])).map(toOperation);
  }

  async clearCancellations(operationIds: readonly string[]): Promise<void> {
    if (operationIds.length > 0) await this.#database.query(CLEAR_CANCELLATIONS, [operationIds]);
  }

  async listOwedEvents(limit: number): Promise<{ readonly events: readonly OwedEvent[]; readonly hasMore: boolean }> {
    const rows = await this.#database.query<OwedEventRow>(EVENTS, [limit, this.#maxPageBytes]);
    const events = rows.map((row) => ({
      ...toRecordedEvent(row),
      operationId: row.operation_id,
      command: row.command,
    }));
    return { events, hasMore: rows.at(-1)?.has_more ?? false };
  }

  async clearEvents(events: readonly Pick<OwedEvent, 'operationId' | 'number'>[]): Promise<void> {
    if (events.length === 0) return;
    const ids = events.map(({ operationId }) => operationId);
    await this.#database.query(CLEAR_EVENTS, [ids, events.map(({ number }) => number)]);
  }

  async purge(
    afterId: string | null,
    limit: number,
  ): Promise<{ readonly purged: number; readonly nextId: string | null }> {
    const [row] = await this.#database.query<PurgeAnswer>(PURGE, [afterId ?? BEFORE_ALL_IDS, limit]);
    const { purged, looked, is_at_young, last_id } = row as PurgeAnswer;
    return { purged, nextId: looked < limit || is_at_young ? null : last_id };
  }

  async #readHistories(ids: readonly string[]): Promise<ReadonlyMap<string, readonly RecordedEvent[]>> {
    if (ids.length === 0) return new Map();
    const rows = await this.#database.query<EventRow>(HISTORIES, [ids]);
    const byId = Map.groupBy(rows, (row) => row.operation_id);
    return new Map([...byId].map(([id, events]) => [id, events.map(toRecordedEvent)]));
  }
}
