import type { OwnRecord } from '../operations/channel-ports.ts';
import { utf8Length } from '../runtime/short-text.ts';

/** Of any record that Sluice sends, what has a size. */
export type SizedRecord = Pick<OwnRecord, 'key' | 'value' | 'headers'>;

/** Of a record batch, format v2: what stands before the first record. */
export const BATCH_OVERHEAD_BYTES = 61;
/** Length, attributes, timestamp delta, offset delta, header count: more than they ever take in a batch of ours. */
const RECORD_OVERHEAD_BYTES = 5 + 1 + 5 + 3 + 3;

/**
 * Bytes of the record in Kafka's format v2, never less than it will take, a few more at the most. A topic's
 * `max.message.bytes` holds for the whole batch: add `BATCH_OVERHEAD_BYTES`.
 */
export function measureRecordBytes(record: SizedRecord): number {
  const known = sizes.get(record);
  if (known !== undefined) return known;
  const sizeBytes = sumRecordBytes(record);
  sizes.set(record, sizeBytes);
  return sizeBytes;
}

/** Asked before the call is accepted, and again as its record is queued. */
const sizes = new WeakMap<SizedRecord, number>();

function sumRecordBytes(record: SizedRecord): number {
  let sizeBytes = RECORD_OVERHEAD_BYTES + lengthBytes(record.key?.length ?? 0) + lengthBytes(record.value?.length ?? 0);
  for (const [name, value] of record.headers) {
    sizeBytes += lengthBytes(utf8Length(name));
    sizeBytes += lengthBytes(typeof value === 'string' ? utf8Length(value) : value.length);
  }
  return sizeBytes;
}

/** A length in Kafka's zigzag varint, and what it counts. */
function lengthBytes(length: number): number {
  const prefix = length < 64 ? 1 : length < 8192 ? 2 : length < 1_048_576 ? 3 : length < 134_217_728 ? 4 : 5;
  return prefix + length;
}
