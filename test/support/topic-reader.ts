// Everything that is on a topic, from its first record on, as it comes: on either bus.
import { randomUUID } from 'node:crypto';
import type { IncomingRecord, WorkerTransport } from '@sluice/worker';
import { waitUntil } from './wait.ts';

export interface SeenRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: bigint;
  readonly key: string | null;
  /** Of the value; null where there is none. */
  readonly text: string | null;
  /** Of equal names the last; null where there is none. */
  header(name: string): string | null;
}

const TIMEOUT_MS = 30_000;

/** A list that grows as records come. Waits for a topic that is yet to be made. Ends with its transport, or its bus. */
export async function readTopic(transport: WorkerTransport, topic: string): Promise<readonly SeenRecord[]> {
  const seen: SeenRecord[] = [];
  const onRecords = (records: readonly IncomingRecord[]) => void seen.push(...records.map(describeRecord));
  await waitUntil({ what: `reading ${topic}`, timeoutMs: TIMEOUT_MS }, async () => {
    const watch = await transport.watchTopic?.({ topic, group: `reader-${randomUUID()}`, sinceMs: 0, onRecords });
    return watch !== null && watch !== undefined;
  });
  return seen;
}

/** The records of one operation: commands by `ce_id`. */
export function recordsOf(seen: readonly SeenRecord[], operationId: string): SeenRecord[] {
  return seen.filter((record) => record.header('ce_id') === operationId);
}

function describeRecord({ topic, partition, offset, key, value, headers }: IncomingRecord): SeenRecord {
  return {
    topic,
    partition,
    offset,
    key: key && Buffer.from(key).toString(),
    text: value && Buffer.from(value).toString(),
    header: (name) => {
      const found = headers.findLast((header) => header[0] === name);
      return found ? Buffer.from(found[1]).toString() : null;
    },
  };
}
