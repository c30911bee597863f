import { parseCorrelation } from '../operations/correlation.ts';
import type { HeaderText, Progress } from '../operations/operation.ts';
import type { Correlation, RawReply, Reply, ReplyKind, ReplyPosition, UnreadableReply } from '../operations/reply.ts';
import type { WorkerError } from '../runtime/failure.ts';
import * as header from './headers.ts';
import { cleanText, parseJson, readWorkerError } from './worker-error.ts';

/** A record of the reply topic as any channel gives it. What is read of it keeps it as its `raw`: nothing is copied. */
export interface ReplyRecord extends RawReply {
  readonly position: ReplyPosition;
  readonly timestampMs: number;
}

export interface ReadReplyOptions {
  /** Of a value that is kept or passed on; larger ones are `RESULT_TOO_LARGE`. */
  readonly maxResultBytes: number;
}

const KINDS: ReadonlySet<string> = new Set<ReplyKind>(['accepted', 'progress', 'item', 'end', 'result', 'error']);
/** Response headers and trailers of one reply, each; what comes after them is dropped. */
const MAX_RESPONSE_HEADERS = 64;
const MAX_PROGRESS_BYTES = 64 * 1024;
/** RFC 9110 section 5.6.2, in lower case. */
const FIELD_NAME = /^[!#$%&'*+.^_`|~0-9a-z-]+$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const FIELD_VALUE_FORBIDDEN = /[\u0000-\u0008\u000a-\u001f\u007f]/;

/**
 * Reads a reply as docs/wire.md says ("Reply record"). Of equal header names the last wins. Never throws: what cannot be
 * read comes back as `UnreadableReply` with the reason, and with the correlation where that much could be read.
 */
export function readReply(record: ReplyRecord, options: ReadReplyOptions): Reply | UnreadableReply {
  const fields = collectFields(record.headers);
  const correlation = fields.correlation === null ? null : parseCorrelation(fields.correlation);
  const sizeBytes = record.value?.length ?? 0;
  const unreadable = (code: UnreadableReply['code'], reason: string): UnreadableReply => ({
    raw: record,
    isRehomed: fields.isRehomed,
    position: record.position,
    correlation,
    code,
    reason,
    sizeBytes,
  });
  if (correlation === null) return unreadable('REPLY_INVALID', describeCorrelation(fields.correlation));
  const kind = kindOf(fields);
  if (kind === null) {
    return unreadable(
      'REPLY_INVALID',
      `${header.KIND}: expected one of ${[...KINDS].join(', ')}, got ${quote(fields.kind)}`,
    );
  }
  if (kind !== 'accepted' && kind !== 'progress' && sizeBytes > options.maxResultBytes) {
    return unreadable(
      'RESULT_TOO_LARGE',
      `the value has ${sizeBytes} bytes, at most ${options.maxResultBytes} are taken`,
    );
  }
  return makeReply(record, fields, kind, correlation);
}

/** Whether the record could not be read. */
export function isUnreadable(reply: Reply | UnreadableReply): reply is UnreadableReply {
  return 'reason' in reply;
}

interface Fields {
  correlation: string | null;
  kind: string | null;
  code: string | null;
  httpStatus: string | null;
  contentType: string | null;
  run: string | null;
  sequence: string | null;
  nestError: string | null;
  isRehomed: boolean;
  headers: [string, string][];
  trailers: [string, string][];
}

function collectFields(headers: ReplyRecord['headers']): Fields {
  const fields: Fields = {
    correlation: null,
    kind: null,
    code: null,
    httpStatus: null,
    contentType: null,
    run: null,
    sequence: null,
    nestError: null,
    isRehomed: false,
    headers: [],
    trailers: [],
  };
  for (const [name, value] of headers) collectField(fields, name, value);
  return fields;
}

function collectField(fields: Fields, name: string, value: Uint8Array): void {
  switch (name) {
    case header.CORRELATION_ID:
      fields.correlation = decodeText(value);
      break;
    case header.KIND:
      fields.kind = decodeText(value);
      break;
    case header.CODE:
      fields.code = decodeText(value);
      break;
    case header.HTTP_STATUS:
      fields.httpStatus = decodeText(value);
      break;
    case header.CONTENT_TYPE:
      fields.contentType = cleanText(decodeText(value));
      break;
    case header.RUN:
      fields.run = cleanText(decodeText(value));
      break;
    case header.SEQUENCE:
      fields.sequence = decodeText(value);
      break;
    case header.NEST_ERROR:
      fields.nestError = decodeText(value);
      break;
    case header.REHOMED:
      fields.isRehomed = true;
      break;
    default:
      if (name.startsWith(header.RESPONSE_HEADER_PREFIX)) {
        addResponseHeader(fields.headers, name.slice(header.RESPONSE_HEADER_PREFIX.length), value);
      } else if (name.startsWith(header.RESPONSE_TRAILER_PREFIX)) {
        addResponseHeader(fields.trailers, name.slice(header.RESPONSE_TRAILER_PREFIX.length), value);
      }
  }
}

/** Leaves out what no HTTP response can carry: it would be an injection, or a crash when it is written. */
function addResponseHeader(list: [string, string][], name: string, value: Uint8Array): void {
  const lowerName = name.toLowerCase();
  const text = decodeText(value).trim();
  if (!FIELD_NAME.test(lowerName) || FIELD_VALUE_FORBIDDEN.test(text)) return;
  const same = list.findIndex((entry) => entry[0] === lowerName);
  if (same >= 0) list.splice(same, 1);
  if (list.length < MAX_RESPONSE_HEADERS) list.push([lowerName, text]);
}

/**
 * Null where `sluice-kind` is none of the kinds. A code, or NestJS's error header, without a kind is an error: to report
 * success would be the worse mistake. `kafka_nest-is-disposed` stands on every answer of a unary NestJS handler, so it
 * says no more than that this result is the last.
 */
function kindOf(fields: Fields): ReplyKind | null {
  if (fields.nestError !== null) return 'error';
  if (fields.kind === null) return fields.code === null || fields.code === 'OK' ? 'result' : 'error';
  return KINDS.has(fields.kind) ? (fields.kind as ReplyKind) : null;
}

function makeReply(record: ReplyRecord, fields: Fields, kind: ReplyKind, correlation: Correlation): Reply {
  return {
    raw: record,
    isRehomed: fields.isRehomed,
    kind,
    correlation,
    position: record.position,
    value: record.value,
    contentType: fields.contentType,
    httpStatus: readHttpStatus(fields.httpStatus),
    headers: fields.headers as HeaderText,
    trailers: fields.trailers as HeaderText,
    error: kind === 'error' ? readError(record, fields) : null,
    progress: kind === 'progress' ? readProgress(record.value) : null,
    sequence: readSequence(fields),
    timestampMs: record.timestampMs,
  };
}

function readError(record: ReplyRecord, fields: Fields): WorkerError {
  if (fields.nestError !== null) return readWorkerError(fields.code, fields.nestError);
  const isText = record.value !== null && !(fields.contentType ?? '').includes('protobuf');
  return readWorkerError(fields.code, isText ? decodeText(record.value) : null);
}

/** A sign of life counts as one even where what it says cannot be read. */
function readProgress(value: Uint8Array | null): Progress {
  const parsed = value !== null && value.length <= MAX_PROGRESS_BYTES ? parseJson(decodeText(value)) : null;
  const fields = typeof parsed === 'object' && parsed !== null ? (parsed as Record<string, unknown>) : {};
  const { percent, message } = fields;
  return {
    percent: typeof percent === 'number' ? Math.min(100, Math.max(0, percent)) : null,
    message: typeof message === 'string' ? cleanText(message) : null,
  };
}

function readHttpStatus(text: string | null): number | null {
  return text !== null && /^2\d\d$/.test(text) ? Number(text) : null;
}

function readSequence(fields: Fields): Reply['sequence'] {
  if (fields.run === null || fields.sequence === null || !/^\d{1,15}$/.test(fields.sequence)) return null;
  return { run: fields.run, number: Number(fields.sequence) };
}

function describeCorrelation(text: string | null): string {
  if (text === null) return `${header.CORRELATION_ID}: missing`;
  return `${header.CORRELATION_ID}: not one of this gateway's, got ${quote(text)}`;
}

function quote(text: string | null): string {
  return JSON.stringify(cleanText(text ?? '').slice(0, 100));
}

/** Copies nothing: the bytes of kafkajs are Buffers already, those of a worker in this process may not be. */
function decodeText(bytes: Uint8Array): string {
  const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return buffer.toString('utf8');
}
