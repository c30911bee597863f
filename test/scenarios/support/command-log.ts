// The records of topics as somebody sees them who takes no part: how often a command came, what was told of operations.
import type { IncomingRecord, WorkerTransport } from '@sluice/worker';
import { uniqueName } from '../../support/real-parts.ts';

export interface SeenRecord {
  readonly topic: string;
  readonly key: string | null;
  readonly text: string;
  /** Of equal names the last. */
  readonly headers: ReadonlyMap<string, string>;
}

/** In the order of arrival, from the beginning of the topics. Closed with its transport. */
export async function watchTopics(
  transport: WorkerTransport,
  topics: readonly string[],
): Promise<readonly SeenRecord[]> {
  const seen: SeenRecord[] = [];
  await transport.subscribe({
    topics,
    group: uniqueName('onlooker'),
    onRecords: (records) => void seen.push(...records.map(read)),
  });
  return seen;
}

function read({ topic, key, value, headers }: IncomingRecord): SeenRecord {
  return {
    topic,
    key: key && Buffer.from(key).toString(),
    text: Buffer.from(value ?? []).toString(),
    headers: new Map(headers.map(([name, text]) => [name, Buffer.from(text).toString()])),
  };
}
