import type { PublishReceipt } from '../operations/channel-ports.ts';
import type { OperationEvent, RecordedEvent } from '../operations/store-ports.ts';
import type { OperationEventType } from '../operations/transitions.ts';
import { stripNul } from './operation-row.ts';

/** A row as `sql/read-events.sql` selects it. */
export interface EventRow {
  readonly operation_id: string;
  readonly number: number;
  readonly type: OperationEventType;
  readonly at_ms: number;
  readonly late: boolean;
  readonly data: string | null;
  readonly payload: Uint8Array | null;
  readonly reply_topic: string | null;
  readonly reply_partition: number | null;
  readonly reply_offset: bigint | null;
}

type ResultHead = Omit<NonNullable<OperationEvent['result']>, 'value'>;

/** What the JSON of an event says; absent is null. */
interface EventData extends Partial<Pick<OperationEvent, 'progress' | 'error' | 'by' | 'afterAttempt' | 'deadlineMs'>> {
  readonly published?: { readonly partition: number; readonly offset: string };
  readonly result?: ResultHead;
}

/** All that an event says but its time, its reply and the result's bytes, as JSON text; null where that is nothing. */
export function encodeEventData(event: OperationEvent): string | null {
  const { progress, error, published, result, by, afterAttempt, deadlineMs } = event;
  if (!(progress || error || published || result) && by === null && afterAttempt === null && deadlineMs === null) {
    return null;
  }
  const data: EventData = {
    ...(progress && { progress }),
    ...(error && { error }),
    ...(published && { published: encodeReceipt(published) }),
    ...(result && { result: headOf(result) }),
    ...(by !== null && { by }),
    ...(afterAttempt !== null && { afterAttempt }),
    ...(deadlineMs !== null && { deadlineMs }),
  };
  return JSON.stringify(data);
}

export function encodeReceipt({ partition, offset }: PublishReceipt): { partition: number; offset: string } {
  return { partition, offset: String(offset) };
}

function headOf({ contentType, httpStatus, headers }: ResultHead): ResultHead {
  return { contentType, httpStatus, headers };
}

/** What was appended. Of a late result the bytes are gone: they counted for nothing. */
export function toRecordedEvent(row: EventRow): RecordedEvent {
  const data = (row.data === null ? {} : JSON.parse(row.data)) as EventData;
  const { published, result } = data;
  const event: OperationEvent = {
    type: row.type,
    atMs: row.at_ms,
    position: positionOf(row),
    progress: data.progress ?? null,
    result: result ? { value: row.payload, ...result } : null,
    error: data.error ?? null,
    published: published ? { partition: published.partition, offset: BigInt(published.offset) } : null,
    by: data.by ?? null,
    afterAttempt: data.afterAttempt ?? null,
    deadlineMs: data.deadlineMs ?? null,
  };
  return { number: row.number, event, late: row.late };
}

function positionOf(row: EventRow): OperationEvent['position'] {
  if (row.reply_topic === null || row.reply_partition === null || row.reply_offset === null) return null;
  return { topic: row.reply_topic, partition: row.reply_partition, offset: row.reply_offset };
}

/**
 * As the row can keep it, before it is folded, so that snapshot, row and history say the same: no NUL where the row has
 * text, and no fractions of milliseconds, which numbers and timestamps round in different ways.
 */
export function cleanEvent(event: OperationEvent): OperationEvent {
  if (!isUnclean(event)) return event;
  const { progress, error, result, deadlineMs } = event;
  return {
    ...event,
    atMs: Math.round(event.atMs),
    deadlineMs: deadlineMs === null ? null : Math.round(deadlineMs),
    progress: progress && { ...progress, message: stripNul(progress.message) },
    error: error && { ...error, message: stripNul(error.message) },
    result: result && { ...result, contentType: stripNul(result.contentType) },
  };
}

function isUnclean({ atMs, deadlineMs, progress, error, result }: OperationEvent): boolean {
  if (!Number.isInteger(atMs) || (deadlineMs !== null && !Number.isInteger(deadlineMs))) return true;
  return hasNul(progress?.message) || hasNul(error?.message) || hasNul(result?.contentType);
}

function hasNul(text: string | null | undefined): boolean {
  return text?.includes('\u0000') ?? false;
}
