// The three services on a bus inside the process. The bus is described here by what is used of it: the gateway's
// in-process broker has that shape, and neither knows the other.
import { type HeaderList, type IncomingRecord, SendError, type WorkerTransport } from '@sluice/worker';
import { type RunningServices, type ServicesOptions, startServices } from './services.ts';

interface BusRecord {
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers: HeaderList;
}

interface BusSubscription {
  pause(): void;
  resume(): void;
  commit(positions: readonly { topic: string; partition: number; offset: bigint }[]): Promise<void>;
  close(): Promise<void>;
}

/** What the services use of a bus. */
export interface Bus {
  createTopic(topic: string, partitions: number): void;
  /** Throws an error with a `problem` where the record is refused. */
  append(topic: string, partition: number | null, record: BusRecord): { partition: number; offset: bigint };
  subscribe(options: {
    topics: readonly string[];
    group: string;
    onRecords: (records: readonly IncomingRecord[]) => void;
    onRevoked?: (partitions: readonly { topic: string; partition: number }[]) => void;
  }): BusSubscription;
  /** Reads one partition without a group. */
  read(
    topic: string,
    partition: number,
    fromOffset: bigint,
    onRecords: (records: readonly IncomingRecord[]) => void,
  ): { close(): Promise<void> | void };
  bounds(topic: string, partition: number): { readonly start: bigint; readonly end: bigint };
  /** 0 where there is no such topic. */
  partitionCount(topic: string): number;
}

const COMMAND_PARTITIONS = 4;
const REPLY_PARTITION = 0;

/** A worker's transport on `bus`. Closing it closes nothing: the bus is another's. */
export function createInProcessTransport(bus: Bus): WorkerTransport {
  return {
    async ensureTopics(topics) {
      for (const topic of topics) bus.createTopic(topic, COMMAND_PARTITIONS);
    },
    async subscribe(options) {
      return bus.subscribe(options);
    },
    async openInbox({ topic, onRecords }) {
      const { end } = bus.bounds(topic, REPLY_PARTITION);
      const reader = bus.read(topic, REPLY_PARTITION, end, onRecords);
      return { topic, partition: REPLY_PARTITION, close: async () => void (await reader.close()) };
    },
    // What is there already is shown soon, not before this resolves: the bus is no older than those who watch it.
    async watchTopic({ topic, sinceMs, onRecords }) {
      const count = bus.partitionCount(topic);
      const isRecent = ({ timestampMs }: IncomingRecord) => timestampMs >= sinceMs;
      const readers = Array.from({ length: count }, (_, partition) =>
        bus.read(topic, partition, bus.bounds(topic, partition).start, (records) =>
          onRecords(records.filter(isRecent)),
        ),
      );
      const close = async () => void (await Promise.all(readers.map((reader) => reader.close())));
      return count === 0 ? null : { close };
    },
    async send(records) {
      for (const { topic, partition, key, value, headers } of records) {
        try {
          bus.append(topic, partition ?? null, { key, value, headers });
        } catch (error) {
          throw toSendError(error);
        }
      }
    },
    async close() {},
  };
}

/** Runs the three on `bus`. */
export function startInProcess(bus: Bus, options: Omit<ServicesOptions, 'transport'> = {}): Promise<RunningServices> {
  return startServices({ ...options, transport: createInProcessTransport(bus) });
}

function toSendError(error: unknown): SendError {
  const { problem, message } = error as { problem?: string; message: string };
  const reason = (['unknown_topic', 'too_large', 'full', 'closed'] as const).find((known) => known === problem);
  return new SendError(reason ?? 'closed', message, { maybeSent: false, cause: error });
}
