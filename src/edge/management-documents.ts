/**
 * What operators see of an operation: all of it, but for the bytes of its result unless they are asked for. The names are
 * those of the callers' status document.
 */
import { createHash } from 'node:crypto';
import { isTerminal, type Operation, type OperationResult, resultOf } from '../operations/operation.ts';
import type { RebuildReport } from '../operations/resource/administration.ts';
import type { OperationEvent, RecordedEvent } from '../operations/store-ports.ts';
import { toTimestamp } from '../runtime/timestamp.ts';

export interface DocumentOptions {
  /** With the bytes of the result: as JSON where they are, else in base64. */
  readonly full: boolean;
}

export function writeOperation(operation: Operation, options: DocumentOptions): object {
  const result = resultOf(operation);
  return {
    id: operation.id,
    command: operation.command,
    principal: operation.principal,
    state: operation.state,
    done: isTerminal(operation.state),
    version: operation.version,
    attempt: operation.attempt,
    progress: operation.progress,
    createdAt: toTimestamp(operation.createdAtMs),
    updatedAt: toTimestamp(operation.updatedAtMs),
    deadline: toTimestamp(operation.deadlineMs),
    retainedUntil: operation.retainedUntilMs === null ? null : toTimestamp(operation.retainedUntilMs),
    ...(result !== null && { result: writeResult(result, options) }),
    ...(operation.error !== null && { error: operation.error }),
  };
}

/** What the event does not say is left out. */
export function writeEvent({ number, event, late }: RecordedEvent, options: DocumentOptions): object {
  return {
    number,
    type: event.type,
    at: toTimestamp(event.atMs),
    ...(late && { late }),
    ...writeDetails(event, late ? LATE : options),
  };
}

/** What came after the end counted for nothing, and its bytes are not kept: how many there were nobody knows any more. */
const LATE: WriteOptions = { full: false, kept: false };

interface WriteOptions extends DocumentOptions {
  readonly kept?: boolean;
}

function writeDetails(event: OperationEvent, options: WriteOptions): object {
  const { position, progress, result, error, published, by, afterAttempt, deadlineMs } = event;
  return {
    ...(position && { reply: { ...position, offset: String(position.offset) } }),
    ...(progress && { progress }),
    ...(result && { result: writeResult(result, options) }),
    ...(error && { error }),
    ...(published && { published: { ...published, offset: String(published.offset) } }),
    ...(by != null && { by }),
    ...(afterAttempt != null && { afterAttempt }),
    ...(deadlineMs != null && { deadline: toTimestamp(deadlineMs) }),
  };
}

function writeResult(result: OperationResult, { full, kept = true }: WriteOptions): object {
  const { value, contentType, httpStatus, headers } = result;
  const bytes = value === null ? Buffer.alloc(0) : Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  return {
    contentType,
    ...(kept ? { sizeBytes: bytes.length } : { kept }),
    ...(httpStatus !== null && { httpStatus }),
    ...(headers.length > 0 && { headers }),
    ...(full && writeBytes(bytes)),
  };
}

function writeBytes(bytes: Buffer): object {
  try {
    return { value: JSON.parse(bytes.toString('utf8')) as unknown };
  } catch {
    return { base64: bytes.toString('base64') };
  }
}

export function writeRebuildReport({ operations, events, differences }: RebuildReport): object {
  const written = differences.map(({ operationId, field, row, rebuilt }) => ({
    operationId,
    field,
    row: toPlain(row),
    rebuilt: toPlain(rebuilt),
  }));
  return { operations, events, differences: written };
}

/** Any value of a row as JSON: integers of 64 bits as text, bytes by their size and hash. */
function toPlain(value: unknown): unknown {
  if (typeof value === 'bigint') return String(value);
  if (value instanceof Uint8Array) {
    return { sizeBytes: value.length, sha256: createHash('sha256').update(value).digest('hex') };
  }
  if (Array.isArray(value)) return value.map(toPlain);
  if (value instanceof Date || typeof value !== 'object' || value === null) return value ?? null;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, toPlain(item)]));
}
