import { decodeText, readHeader, readReplyPartition, readTextHeader } from './headers.ts';
import type { IncomingRecord } from './transport.ts';

/** Where and how a command is answered. */
export interface ReplyAddress {
  readonly topic: string;
  /** Null: chosen by the reply's key. */
  readonly partition: number | null;
  /** Copied from the command as it is, byte by byte. */
  readonly correlationId: Uint8Array;
}

/** A command record, its headers read. */
export interface Command {
  readonly record: IncomingRecord;
  /** `ce_type`, such as `orders.v1.Orders.CreateOrder`; empty where absent. */
  readonly type: string;
  /** `ce_id`: the operation's id and the key of de-duplication. Null where absent: such a command is not de-duplicated. */
  readonly id: string | null;
  /** `ce_expirytime` as Unix milliseconds, or null. */
  readonly deadlineMs: number | null;
  readonly attempt: number;
  readonly hops: number;
  readonly contentType: string;
  /** Null on a one-way command. */
  readonly reply: ReplyAddress | null;
}

export function readCommand(record: IncomingRecord): Command {
  const { headers } = record;
  return {
    record,
    type: readTextHeader(headers, 'ce_type') ?? '',
    id: readTextHeader(headers, 'ce_id') || null,
    deadlineMs: readTime(readTextHeader(headers, 'ce_expirytime')),
    attempt: readCount(readTextHeader(headers, 'sluice-attempt'), 1),
    hops: readCount(readTextHeader(headers, 'sluice-hops'), 0),
    contentType: readTextHeader(headers, 'content-type') ?? 'application/json',
    reply: readReplyAddress(record),
  };
}

function readReplyAddress(record: IncomingRecord): ReplyAddress | null {
  const topic = readHeader(record.headers, 'kafka_replyTopic');
  const correlationId = readHeader(record.headers, 'kafka_correlationId');
  if (topic === undefined || topic.length === 0 || correlationId === undefined) return null;
  return { topic: decodeText(topic), partition: readReplyPartition(record.headers), correlationId };
}

/** A time that cannot be read is no deadline: better late than refused for another's mistake. */
function readTime(text: string | null): number | null {
  const timeMs = text === null ? Number.NaN : Date.parse(text);
  return Number.isNaN(timeMs) ? null : timeMs;
}

function readCount(text: string | null, absent: number): number {
  return text !== null && /^\d{1,9}$/.test(text) ? Number(text) : absent;
}

const METHOD = /^[A-Za-z_][\w.]*\/[A-Za-z_]\w*$/;

/**
 * `orders.v1.Orders/CreateOrder` → `orders.v1.Orders.CreateOrder`, which is the `ce_type` and the default topic.
 * @throws TypeError for a name of another form
 */
export function methodToType(method: string): string {
  if (!METHOD.test(method)) {
    throw new TypeError(`method: expected package.Service/Method, got ${JSON.stringify(method)}`);
  }
  return method.replace('/', '.');
}

/** `<namespace>.<name>`, or the name alone. */
export function withNamespace(namespace: string | undefined, name: string): string {
  return namespace ? `${namespace}.${name}` : name;
}
