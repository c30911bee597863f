import type {
  CommandFields,
  CommandRecord,
  RecordHeaders,
  ReplyPartitionDialect,
  ResealCommand,
  SealCommand,
} from '../operations/channel-ports.ts';
import { toTimestamp } from '../runtime/timestamp.ts';
import * as header from './headers.ts';

export interface EnvelopeOptions {
  /** `ce_source`: the public URL of the gateway, else `sluice://<namespace>`. */
  readonly source: string;
  /** With the namespace. */
  readonly replyTopic: string;
}

type Header = readonly [name: string, value: string | Uint8Array];

const encoder = new TextEncoder();

/**
 * Gives a command the form of the wire (docs/wire.md, "Command record"). On the path of every call, so whatever does not
 * depend on the call is made once: the constant headers, and the reply partition's for each partition and dialect.
 */
export function createSealCommand(options: EnvelopeOptions): SealCommand {
  const specversion: Header = [header.CE_SPECVERSION, '1.0'];
  const source: Header = [header.CE_SOURCE, options.source];
  const replyTopic: Header = [header.REPLY_TOPIC, options.replyTopic];
  const replyPartitions = new ReplyPartitionHeaders();

  return (fields) => {
    const headers: Header[] = [
      specversion,
      [header.CE_ID, fields.operationId],
      source,
      [header.CE_TYPE, fields.type],
      [header.CE_TIME, toTimestamp(fields.createdAtMs)],
      [header.CE_EXPIRYTIME, toTimestamp(fields.deadlineMs)],
      [header.CONTENT_TYPE, fields.contentType],
    ];
    if (fields.reply !== null) {
      headers.push([header.CORRELATION_ID, fields.reply.correlationId], replyTopic);
      headers.push(...replyPartitions.of(fields.reply.partition, fields.reply.dialect));
    }
    addTrace(headers, fields);
    headers.push([header.ATTEMPT, String(fields.attempt)], [header.HOPS, String(fields.hops)]);
    if (fields.principal !== '') headers.push([header.PRINCIPAL, fields.principal]);
    for (const extra of fields.extraHeaders) if (header.mayBeExtraHeader(extra[0])) headers.push(extra);
    return finish(fields, headers);
  };
}

/**
 * Makes anew the record that `createSealCommand` made and the store has kept, for another attempt or by another boot: three
 * header values change in their places, everything else is the same to the byte, so that workers see one command and not
 * two. The reply topic is one of them: on the in-process channel that of an earlier boot has died with it.
 */
export function createResealCommand({ replyTopic }: Pick<EnvelopeOptions, 'replyTopic'>): ResealCommand {
  return (record, { attempt, deadlineMs }) => {
    const changed = new Map([
      [header.ATTEMPT, String(attempt)],
      [header.CE_EXPIRYTIME, toTimestamp(deadlineMs)],
      [header.REPLY_TOPIC, replyTopic],
    ]);
    const headers = record.headers.map((each): Header => [each[0], changed.get(each[0]) ?? each[1]]);
    return { ...record, headers };
  };
}

function addTrace(headers: Header[], fields: CommandFields): void {
  if (fields.traceparent === null) return;
  headers.push([header.TRACEPARENT, fields.traceparent]);
  // W3C Trace Context section 3.3: without a traceparent a tracestate means nothing.
  if (fields.tracestate !== null) headers.push([header.TRACESTATE, fields.tracestate]);
}

function finish(fields: CommandFields, headers: RecordHeaders): CommandRecord {
  return {
    topic: fields.topic,
    key: fields.key ?? encoder.encode(fields.operationId),
    value: fields.value,
    headers,
  };
}

/**
 * `kafka_replyPartition` as the workers' frameworks read it: NestJS takes the first header and wants decimal text,
 * Spring takes the last and wants four bytes, big-endian.
 */
class ReplyPartitionHeaders {
  /** By partition; as many entries as the reply topic has partitions. */
  readonly #both = new Map<number, readonly Header[]>();

  of(partition: number, dialect: ReplyPartitionDialect): readonly Header[] {
    const both = this.#both.get(partition) ?? this.#make(partition);
    if (dialect === 'both') return both;
    if (dialect === 'nest') return [both[0] as Header];
    return dialect === 'spring' ? [both[1] as Header] : [];
  }

  #make(partition: number): readonly Header[] {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setInt32(0, partition);
    const made: readonly Header[] = [
      [header.REPLY_PARTITION, String(partition)],
      [header.REPLY_PARTITION, bytes],
    ];
    this.#both.set(partition, made);
    return made;
  }
}
