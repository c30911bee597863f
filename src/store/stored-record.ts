import type { CommandRecord } from '../operations/channel-ports.ts';
import { decodeRecordHeaders } from './record-headers.ts';

/** The columns of a row that keep its command record. */
export interface RecordRow {
  readonly record_topic: string;
  readonly record_key: Uint8Array;
  readonly record_headers: Uint8Array;
  readonly record_value: Uint8Array;
}

/** Exactly as it was accepted. */
export function toRecord(row: RecordRow): CommandRecord {
  return {
    topic: row.record_topic,
    key: row.record_key,
    value: row.record_value,
    headers: decodeRecordHeaders(row.record_headers),
  };
}
