import type { Operation } from '../operations/operation.ts';
import type { NewOperation } from '../operations/store-ports.ts';
import type { OperationEventType } from '../operations/transitions.ts';
import { columnOf, flagOf, sharedColumnOf } from './columns.ts';
import { encodeReceipt } from './event-data.ts';
import { stripNul, toJsonText } from './operation-row.ts';
import { encodeRecordHeaders } from './record-headers.ts';

/** A row to insert; `behind`: an ordered one after another of its topic and key in the same batch. */
export interface InsertRow {
  readonly operation: NewOperation;
  readonly behind: boolean;
}

interface LaterEvent {
  readonly operationId: string;
  readonly number: number;
  readonly type: OperationEventType;
  readonly atMs: number;
  readonly data: string | null;
}

/**
 * In the order in which any two batches meet the rows that they have in common: keyed ones first, by their keys, the others
 * by id. An operation that stands twice is inserted once.
 */
export function orderRows(operations: readonly NewOperation[]): readonly InsertRow[] {
  const unique = [...new Map(operations.map((operation) => [operation.id, operation])).values()];
  const seen = new Set<string>();
  return unique.sort(compareRows).map((operation) => ({ operation, behind: isBehind(operation, seen) }));
}

function compareRows(one: NewOperation, other: NewOperation): number {
  if (one.idempotency === null || other.idempotency === null) {
    if (one.idempotency !== null) return -1;
    if (other.idempotency !== null) return 1;
    return compareTexts(one.id, other.id);
  }
  return (
    compareTexts(one.principal, other.principal) ||
    compareTexts(one.command, other.command) ||
    compareTexts(one.idempotency.key, other.idempotency.key) ||
    compareTexts(one.id, other.id)
  );
}

/** By code unit: the same on every machine, which a locale's order is not. */
function compareTexts(one: string, other: string): number {
  if (one === other) return 0;
  return one < other ? -1 : 1;
}

function isBehind({ terms, record, published }: NewOperation, seen: Set<string>): boolean {
  if (!terms.ordered || published !== null) return false;
  const lane = `${record.topic} ${Buffer.from(record.key).toString('base64')}`;
  return seen.size === seen.add(lane).size;
}

/** `accepted` is always the first event; what the channel knows already follows. */
function laterEventsOf({ id, state, published, progress, createdAtMs, updatedAtMs }: NewOperation): LaterEvent[] {
  const events: Pick<LaterEvent, 'type' | 'atMs' | 'data'>[] = [];
  if (state === 'dispatched' || published !== null) {
    const data = published && toJsonText({ published: encodeReceipt(published) });
    events.push({ type: 'dispatched', atMs: createdAtMs, data });
  }
  if (state === 'running') {
    events.push(
      progress === null
        ? { type: 'acknowledged', atMs: updatedAtMs, data: null }
        : { type: 'progressed', atMs: updatedAtMs, data: toJsonText({ progress }) },
    );
  }
  return events.map((event, index) => ({ operationId: id, number: index + 2, ...event }));
}

/** Number of the row's last event. */
function versionOf({ state, published }: NewOperation): number {
  return 1 + Number(state === 'dispatched' || published !== null) + Number(state === 'running');
}

/** What the row says, without reading it back. */
export function snapshotOf(operation: NewOperation): Operation {
  return {
    id: operation.id,
    command: operation.command,
    principal: stripNul(operation.principal),
    state: operation.state,
    version: versionOf(operation),
    attempt: 1,
    createdAtMs: operation.createdAtMs,
    updatedAtMs: operation.updatedAtMs,
    deadlineMs: operation.deadlineMs,
    retainedUntilMs: null,
    progress: operation.progress && { ...operation.progress, message: stripNul(operation.progress.message) },
    result: null,
    error: null,
  };
}

/** As the row can keep it: whole milliseconds, and no NUL where it has text. */
export function cleanOperation(operation: NewOperation): NewOperation {
  const { progress } = operation;
  const isClean =
    Number.isInteger(operation.createdAtMs) &&
    Number.isInteger(operation.updatedAtMs) &&
    Number.isInteger(operation.deadlineMs) &&
    !progress?.message?.includes('\u0000');
  if (isClean) return operation;
  return {
    ...operation,
    createdAtMs: Math.round(operation.createdAtMs),
    updatedAtMs: Math.round(operation.updatedAtMs),
    deadlineMs: Math.round(operation.deadlineMs),
    progress: progress && { ...progress, message: stripNul(progress.message) },
  };
}

/** Parameters $1 to $32 of `functions/insert-operations.sql`. */
export function insertColumns(rows: readonly InsertRow[]): unknown[] {
  const operations = rows.map(({ operation }) => operation);
  const later = operations.flatMap(laterEventsOf);
  return [
    ...snapshotColumns(operations),
    ...recordColumns(operations),
    ...promiseColumns(operations),
    flagOf(rows, ({ behind }) => behind),
    columnOf(later, ({ operationId }) => operationId),
    columnOf(later, ({ number }) => number),
    columnOf(later, ({ type }) => type),
    columnOf(later, ({ atMs }) => atMs),
    columnOf(later, ({ data }) => data),
  ];
}

function snapshotColumns(operations: readonly NewOperation[]): unknown[] {
  return [
    columnOf(operations, ({ id }) => id),
    sharedColumnOf(operations, ({ command }) => command),
    sharedColumnOf(operations, ({ principal }) => stripNul(principal)),
    sharedColumnOf(operations, ({ state }) => state),
    sharedColumnOf(operations, versionOf),
    columnOf(operations, ({ createdAtMs }) => createdAtMs),
    columnOf(operations, ({ createdAtMs, updatedAtMs }) => (updatedAtMs === createdAtMs ? null : updatedAtMs)),
    columnOf(operations, ({ deadlineMs }) => deadlineMs),
    columnOf(operations, ({ progress }) => progress?.percent ?? null),
    columnOf(operations, ({ progress }) => progress?.message ?? null),
  ];
}

function recordColumns(operations: readonly NewOperation[]): unknown[] {
  return [
    sharedColumnOf(operations, ({ record }) => record.topic),
    columnOf(operations, ({ record }) => record.key),
    columnOf(operations, ({ record }) => encodeRecordHeaders(record.headers)),
    columnOf(operations, ({ record }) => record.value),
    sharedColumnOf(operations, ({ claimedBy }) => claimedBy),
    sharedColumnOf(operations, ({ maybeSent }) => maybeSent),
    columnOf(operations, ({ published }) => published?.partition ?? null),
    columnOf(operations, ({ published }) => published?.offset ?? null),
  ];
}

function promiseColumns(operations: readonly NewOperation[]): unknown[] {
  return [
    sharedColumnOf(operations, ({ replyPartition }) => replyPartition),
    columnOf(operations, ({ idempotency }) => stripNul(idempotency?.key ?? null)),
    columnOf(operations, ({ idempotency }) => idempotency?.fingerprint ?? null),
    sharedColumnOf(operations, ({ terms }) => terms.maxAttempts),
    sharedColumnOf(operations, ({ terms }) => terms.redeliverAfterMs),
    sharedColumnOf(operations, ({ terms }) => terms.workerGroup),
    flagOf(operations, ({ terms }) => terms.endsAtAck),
    flagOf(operations, ({ terms }) => terms.ordered),
  ];
}
