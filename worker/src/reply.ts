import type { Command } from './command.ts';
import type { CommandError } from './errors.ts';
import { encodeText } from './headers.ts';
import type { OutgoingRecord } from './transport.ts';

export type ReplyKind = 'accepted' | 'progress' | 'result' | 'error';

/** A reply without its address, so that a stored one can answer a duplicate that came from elsewhere. */
export interface Reply {
  readonly kind: ReplyKind;
  readonly contentType: string | null;
  readonly value: Uint8Array | null;
  /** `sluice-…` headers beside the kind. */
  readonly headers: readonly (readonly [name: string, value: string])[];
}

export interface Progress {
  /** 0 to 100. */
  readonly percent?: number;
  readonly message?: string;
}

const JSON_TYPE = 'application/json';

export const acceptedReply: Reply = Object.freeze({ kind: 'accepted', contentType: null, value: null, headers: [] });

/** @throws RangeError for a percentage outside 0 to 100 */
export function progressReply(progress: Progress): Reply {
  const { percent, message } = progress;
  if (percent !== undefined && !(percent >= 0 && percent <= 100)) {
    throw new RangeError(`percent: expected 0 to 100, got ${percent}`);
  }
  return {
    kind: 'progress',
    contentType: JSON_TYPE,
    value: encodeText(JSON.stringify({ percent, message })),
    headers: [],
  };
}

export function errorReply(error: Pick<CommandError, 'code' | 'message' | 'details'>): Reply {
  const { code, message, details } = error;
  return {
    kind: 'error',
    contentType: JSON_TYPE,
    value: encodeText(JSON.stringify({ code, message, details })),
    headers: [['sluice-code', code]],
  };
}

/** Null for a one-way command. The key keeps the replies of one command in order where no partition is named. */
export function addressReply(command: Command, reply: Reply): OutgoingRecord | null {
  const address = command.reply;
  if (address === null) return null;
  const headers: [string, Uint8Array][] = [
    ['kafka_correlationId', address.correlationId],
    ['sluice-kind', encodeText(reply.kind)],
  ];
  if (reply.contentType !== null) headers.push(['content-type', encodeText(reply.contentType)]);
  for (const [name, value] of reply.headers) headers.push([name, encodeText(value)]);
  return {
    topic: address.topic,
    partition: address.partition ?? undefined,
    key: command.id === null ? address.correlationId : encodeText(command.id),
    value: reply.value,
    headers,
  };
}

/** What a stored reply takes in memory, roughly. */
export function sizeOfReply(reply: Reply): number {
  return (
    200 + (reply.value?.length ?? 0) + reply.headers.reduce((sum, [name, value]) => sum + name.length + value.length, 0)
  );
}
