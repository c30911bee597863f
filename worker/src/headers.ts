import type { HeaderList } from './transport.ts';

const decoder = new TextDecoder();
const encoder = new TextEncoder();

export function encodeText(text: string): Uint8Array {
  return encoder.encode(text);
}

/** UTF-8; what is invalid becomes U+FFFD. */
export function decodeText(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

/** The last value of a name, as the wire says of duplicates. */
export function readHeader(headers: HeaderList, name: string): Uint8Array | undefined {
  return headers.findLast((header) => header[0] === name)?.[1];
}

export function readTextHeader(headers: HeaderList, name: string): string | null {
  const value = readHeader(headers, name);
  return value === undefined ? null : decodeText(value);
}

/** All headers as text, the last of equal names. */
export function toTextMap(headers: HeaderList): ReadonlyMap<string, string> {
  return new Map(headers.map(([name, value]) => [name, decodeText(value)]));
}

const MAX_PARTITION = 1_000_000;

/**
 * `kafka_replyPartition` comes as decimal text (NestJS), as four bytes big-endian (Spring), or both. Four digits read as
 * a number of four bytes would be past 800 million, so the two cannot be mistaken for each other. Null where absent.
 */
export function readReplyPartition(headers: HeaderList): number | null {
  for (const [, value] of headers.filter((header) => header[0] === 'kafka_replyPartition')) {
    const partition = parsePartition(value);
    if (partition !== null) return partition;
  }
  return null;
}

function parsePartition(value: Uint8Array): number | null {
  const text = decodeText(value);
  const partition = /^\d{1,7}$/.test(text) ? Number(text) : value.length === 4 ? readInt32(value) : -1;
  return partition >= 0 && partition <= MAX_PARTITION ? partition : null;
}

function readInt32(value: Uint8Array): number {
  return new DataView(value.buffer, value.byteOffset, value.byteLength).getInt32(0);
}

/** Both forms, text first: NestJS reads the first, Spring the last. */
export function replyPartitionHeaders(partition: number): HeaderList {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, partition);
  return [
    ['kafka_replyPartition', encodeText(String(partition))],
    ['kafka_replyPartition', bytes],
  ];
}
