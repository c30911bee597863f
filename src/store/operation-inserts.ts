import type { Operation } from '../operations/operation.ts';
import { LeaseLostError, type LeaseProof, type NewOperation, type OperationInserts } from '../operations/ports.ts';
import type { OperationEventType } from '../operations/transitions.ts';
import type { Queryable } from './database.ts';
import { type OperationRow, stripNul, toJsonText, toOperation } from './operation-row.ts';
import { encodeRecordHeaders } from './record-headers.ts';
import { loadStatement } from './statements.ts';
import { statementFailed } from './store-error.ts';

const INSERT = loadStatement('insert-operations');
const READ = loadStatement('read-operations');

interface InsertAnswer {
  readonly held: boolean;
  readonly ids: readonly string[];
}

interface FirstEvent {
  readonly operationId: string;
  readonly number: number;
  readonly type: OperationEventType;
  readonly data: string | null;
}

/**
 * Accepts and promotions: one statement a batch, so one round trip and one commit. A row that is there already is a
 * repeat of an insert whose outcome was not known, and counts as inserted; that is read in a second statement, because
 * the first does not see what another transaction committed meanwhile.
 */
export class OperationInsertStore implements OperationInserts {
  readonly #database: Queryable;
  readonly #replyTopic: string;

  constructor(database: Queryable, replyTopic: string) {
    this.#database = database;
    this.#replyTopic = replyTopic;
  }

  async insert(operations: readonly NewOperation[]): Promise<readonly Operation[]> {
    if (operations.length === 0) return [];
    const { ids } = await this.#insert(operations, null);
    return this.#answer(operations, ids);
  }

  /**
   * A promotion whose outcome was unknown counts as done where its row is there, also when the lease is lost by now. So
   * repeat such a one in a call of its own: one row without a lease fails the whole call.
   */
  async promote(operations: readonly NewOperation[], lease: LeaseProof): Promise<readonly Operation[]> {
    if (operations.length === 0) return [];
    const { held, ids } = await this.#insert(operations, lease);
    if (held) return this.#answer(operations, ids);
    const found = await this.#read(operations.map((operation) => operation.id));
    const all = operations.map((operation) => found.get(operation.id));
    if (all.some((operation) => operation === undefined)) throw new LeaseLostError(lease.partition);
    return all as Operation[];
  }

  async #insert(operations: readonly NewOperation[], lease: LeaseProof | null): Promise<InsertAnswer> {
    const rows = leaveOutRepeated(operations);
    const params = [...operationColumns(rows), ...eventColumns(rows.flatMap(firstEventsOf))];
    const [answer] = await this.#database.query<InsertAnswer>(INSERT, [
      ...params,
      lease === null ? null : this.#replyTopic,
      lease === null ? null : lease.partition,
      lease === null ? null : lease.fence,
    ]);
    return answer as InsertAnswer;
  }

  async #answer(operations: readonly NewOperation[], insertedIds: readonly string[]): Promise<readonly Operation[]> {
    const inserted = new Set(insertedIds);
    const others = operations.filter((operation) => !inserted.has(operation.id)).map((operation) => operation.id);
    const found = await this.#read(others);
    return operations.map((operation) => {
      if (inserted.has(operation.id)) return snapshotOf(operation);
      const known = found.get(operation.id);
      if (!known) throw statementFailed(new Error(`operation ${operation.id} was neither inserted nor found`));
      return known;
    });
  }

  async #read(ids: readonly string[]): Promise<ReadonlyMap<string, Operation>> {
    if (ids.length === 0) return new Map();
    const rows = await this.#database.query<OperationRow>(READ, [ids]);
    return new Map(rows.map((row) => [row.id, toOperation(row)]));
  }
}

function leaveOutRepeated(operations: readonly NewOperation[]): readonly NewOperation[] {
  return [...new Map(operations.map((operation) => [operation.id, operation])).values()];
}

/** `accepted` is always the first event; what the channel knows already follows, all at the time of acceptance. */
function firstEventsOf(operation: NewOperation): FirstEvent[] {
  const events: Pick<FirstEvent, 'type' | 'data'>[] = [{ type: 'accepted', data: null }];
  if (operation.state === 'dispatched' || operation.published !== null) {
    const published = operation.published && { ...operation.published, offset: String(operation.published.offset) };
    events.push({ type: 'dispatched', data: published && toJsonText({ published }) });
  }
  if (operation.state === 'running') {
    const { progress } = operation;
    events.push(
      progress === null ? { type: 'acknowledged', data: null } : { type: 'progressed', data: toJsonText({ progress }) },
    );
  }
  return events.map((event, index) => ({ operationId: operation.id, number: index + 1, ...event }));
}

/** What the row says, without reading it back. */
function snapshotOf(operation: NewOperation): Operation {
  return {
    id: operation.id,
    command: operation.command,
    principal: stripNul(operation.principal),
    state: operation.state,
    version: firstEventsOf(operation).length,
    attempt: 1,
    createdAtMs: operation.createdAtMs,
    updatedAtMs: operation.createdAtMs,
    deadlineMs: operation.deadlineMs,
    retainedUntilMs: null,
    progress: operation.progress && { ...operation.progress, message: stripNul(operation.progress.message) },
    result: null,
    error: null,
  };
}

/** Parameters $1 to $18 of the statement. */
function operationColumns(operations: readonly NewOperation[]): unknown[][] {
  return [
    operations.map((operation) => operation.id),
    operations.map((operation) => operation.command),
    operations.map((operation) => stripNul(operation.principal)),
    operations.map((operation) => operation.state),
    operations.map((operation) => firstEventsOf(operation).length),
    operations.map((operation) => operation.createdAtMs),
    operations.map((operation) => operation.deadlineMs),
    operations.map((operation) => operation.waitUntilMs),
    operations.map((operation) => operation.progress?.percent ?? null),
    operations.map((operation) => stripNul(operation.progress?.message ?? null)),
    operations.map((operation) => operation.record.topic),
    operations.map((operation) => operation.record.key),
    operations.map((operation) => encodeRecordHeaders(operation.record.headers)),
    operations.map((operation) => operation.record.value),
    operations.map((operation) => operation.claimedBy),
    operations.map((operation) => operation.maybeSent),
    operations.map((operation) => operation.published?.partition ?? null),
    operations.map((operation) => operation.published?.offset ?? null),
  ];
}

/** Parameters $19 to $22. */
function eventColumns(events: readonly FirstEvent[]): unknown[][] {
  return [
    events.map((event) => event.operationId),
    events.map((event) => event.number),
    events.map((event) => event.type),
    events.map((event) => event.data),
  ];
}
