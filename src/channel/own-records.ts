import { createHash } from 'node:crypto';
import type { OwedDeadLetter, OwedEvent } from '../chores/ports.ts';
import type { OwnRecord, RecordHeaders } from '../operations/channel-ports.ts';
import type { RawReply, ReplyPosition, UnreadableReply } from '../operations/reply.ts';
import type { RecordedEvent } from '../operations/store-ports.ts';
import { toTimestamp } from '../runtime/timestamp.ts';
import * as header from './headers.ts';
import { cleanText } from './worker-error.ts';

/** A reason is for people; it may quote what a worker sent. */
const MAX_REASON_CHARACTERS = 1000;
/** Of the history in a dead letter; between the first event and the last ones some are left out. */
const MAX_HISTORY_EVENTS = 64;
const MAX_PROGRESS_CHARACTERS = 200;

const encoder = new TextEncoder();
const NO_BYTES = new Uint8Array();

/** What a record of ours says of who sent it. */
export interface OwnSource {
  /** CloudEvents `source`: the public URL of the gateway, else `sluice://<namespace>`. */
  readonly source: string;
}

/**
 * A reply that came to another partition than its home, for its home: the same to the byte, with one header more, by which
 * it is never sent on a second time (docs/wire.md, "Re-homed replies").
 */
export function rehomedReply(
  raw: RawReply,
  replyTopic: string,
  homePartition: number,
  position: Pick<ReplyPosition, 'partition' | 'offset'>,
): OwnRecord {
  const mark = [header.REHOMED, `${position.partition}/${position.offset}`] as const;
  return {
    topic: replyTopic,
    partition: homePartition,
    key: raw.key,
    value: raw.value,
    headers: [...raw.headers, mark],
  };
}

/** A reply that cannot be read, as it came, with the reason (docs/wire.md, "Dead letters"). */
export function deadLetterOfReply(unreadable: UnreadableReply, deadLetterTopic: string): OwnRecord {
  const { raw, position } = unreadable;
  const headers: RecordHeaders = [
    ...raw.headers,
    [header.DEAD_LETTER_REASON, shorten(unreadable.reason)],
    [header.DEAD_LETTER_CODE, unreadable.code],
    [header.DEAD_LETTER_TOPIC, position.topic],
    [header.DEAD_LETTER_PARTITION, String(position.partition)],
    [header.DEAD_LETTER_OFFSET, String(position.offset)],
  ];
  return { topic: deadLetterTopic, partition: null, key: raw.key, value: raw.value, headers };
}

/** A command that came to no good end, as it was sent, with what became of it (docs/wire.md, "Dead letters"). */
export function deadLetterOfCommand(owed: OwedDeadLetter, deadLetterTopic: string): OwnRecord {
  const { operation, record, history } = owed;
  const { error } = operation;
  const headers: RecordHeaders = [
    ...record.headers,
    [header.DEAD_LETTER_REASON, shorten(error?.message ?? `the operation is ${operation.state}`)],
    [header.DEAD_LETTER_CODE, error?.code ?? ''],
    [header.DEAD_LETTER_COMMAND, operation.command],
    [header.DEAD_LETTER_TOPIC, record.topic],
    [header.DEAD_LETTER_KEY, record.key ?? NO_BYTES],
    [header.DEAD_LETTER_STATE, operation.state],
    [header.DEAD_LETTER_DELIVERY, error?.delivery ?? 'unknown'],
    [header.DEAD_LETTER_ATTEMPTS, String(operation.attempt)],
    [header.DEAD_LETTER_HISTORY, describeHistory(history)],
  ];
  const key = encoder.encode(operation.id);
  return { topic: deadLetterTopic, partition: null, key, value: record.value, headers };
}

/** For a dead letter that its topic refused as it was: size and SHA-256 stand for the value. */
export function withoutValue(deadLetter: OwnRecord): OwnRecord {
  const value = deadLetter.value ?? NO_BYTES;
  const headers: RecordHeaders = [
    ...deadLetter.headers,
    [header.DEAD_LETTER_SIZE, String(value.length)],
    [header.DEAD_LETTER_SHA256, createHash('sha256').update(value).digest('hex')],
  ];
  return { ...deadLetter, value: null, headers };
}

export interface CancellationOptions extends OwnSource {
  readonly controlTopic: string;
  readonly nowMs: number;
}

/**
 * Tells workers that an operation was cancelled (docs/wire.md, "Cancellations"). Its id is the operation's with a suffix:
 * told twice, it is the same event, as CloudEvents has it.
 */
export function cancellationRecord(operationId: string, options: CancellationOptions): OwnRecord {
  const headers: RecordHeaders = [
    [header.CE_SPECVERSION, '1.0'],
    [header.CE_ID, `${operationId}.cancelled`],
    [header.CE_SOURCE, options.source],
    [header.CE_TYPE, 'sluice.operation.cancelled'],
    [header.CE_SUBJECT, operationId],
    [header.CE_TIME, toTimestamp(options.nowMs)],
  ];
  return { topic: options.controlTopic, partition: null, key: encoder.encode(operationId), value: null, headers };
}

export interface LifecycleOptions extends OwnSource {
  readonly eventsTopic: string;
}

/** An event of an operation's history for whoever follows operations on Kafka (docs/wire.md, "Lifecycle events"). */
export function lifecycleEvent(owed: OwedEvent, options: LifecycleOptions): OwnRecord {
  const { operationId, command } = owed;
  const headers: RecordHeaders = [
    [header.CE_SPECVERSION, '1.0'],
    [header.CE_ID, `${operationId}.${owed.number}`],
    [header.CE_SOURCE, options.source],
    [header.CE_TYPE, `sluice.operation.${owed.event.type}`],
    [header.CE_SUBJECT, operationId],
    [header.CE_TIME, toTimestamp(owed.event.atMs)],
    [header.CONTENT_TYPE, 'application/json'],
  ];
  const value = encoder.encode(JSON.stringify({ id: operationId, command, ...describeEvent(owed) }));
  return { topic: options.eventsTopic, partition: null, key: encoder.encode(operationId), value, headers };
}

/** `{"omitted":0,"events":[…]}`: the first and the last ones, where there are too many. */
function describeHistory(history: readonly RecordedEvent[]): string {
  const omitted = Math.max(0, history.length - MAX_HISTORY_EVENTS);
  const kept = omitted === 0 ? history : [...history.slice(0, 1), ...history.slice(omitted + 1)];
  return JSON.stringify({ omitted, events: kept.map(describeEvent) });
}

/** An event without payloads: what a worker answered stays in the store. Absent where there is nothing to say. */
function describeEvent({ number, event, late }: RecordedEvent): Record<string, unknown> {
  const { type, atMs, progress, error, published, position } = event;
  return {
    number,
    type,
    time: toTimestamp(atMs),
    ...(late && { late }),
    ...(progress && { progress: describeProgress(progress) }),
    ...(error && {
      error: {
        code: error.code,
        grpcCode: error.grpcCode,
        message: shorten(error.message),
        delivery: error.delivery,
      },
    }),
    ...(published && { published: { partition: published.partition, offset: String(published.offset) } }),
    ...(position && {
      reply: { topic: position.topic, partition: position.partition, offset: String(position.offset) },
    }),
  };
}

function describeProgress({ percent, message }: { percent: number | null; message: string | null }): object {
  return {
    ...(percent !== null && { percent }),
    ...(message !== null && { message: shorten(message, MAX_PROGRESS_CHARACTERS) }),
  };
}

function shorten(text: string, maxCharacters = MAX_REASON_CHARACTERS): string {
  return cleanText(text).slice(0, maxCharacters);
}
