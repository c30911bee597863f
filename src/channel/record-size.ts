import type { OwnRecord } from '../operations/ports.ts';

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
  if (record === lastMeasured) return lastSizeBytes;
  lastSizeBytes = sumRecordBytes(record);
  lastMeasured = record;
  return lastSizeBytes;
}

/** A call asks whether its record fits, and publishes it in the same turn: the second question need not measure again. */
let lastMeasured: SizedRecord | null = null;
let lastSizeBytes = 0;

function sumRecordBytes(record: SizedRecord): number {
  let sizeBytes = RECORD_OVERHEAD_BYTES + lengthBytes(record.key?.length ?? 0) + lengthBytes(record.value?.length ?? 0);
  for (const [name, value] of record.headers) {
    sizeBytes += lengthBytes(Buffer.byteLength(name));
    sizeBytes += lengthBytes(typeof value === 'string' ? Buffer.byteLength(value) : value.length);
  }
  return sizeBytes;
}

/** A length in Kafka's zigzag varint, and what it counts. */
function lengthBytes(length: number): number {
  const prefix = length < 64 ? 1 : length < 8192 ? 2 : length < 1_048_576 ? 3 : length < 134_217_728 ? 4 : 5;
  return prefix + length;
}
