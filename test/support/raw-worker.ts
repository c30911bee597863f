// A worker without an SDK: it sees command records as they are, and sends whatever a test wants as a reply.
import type { HeaderList, IncomingRecord, WorkerTransport } from '@sluice/worker';

export interface RawCommand {
  readonly record: IncomingRecord;
  /** Text of the value. */
  readonly text: string;
  /** Of equal names the first. */
  header(name: string): string | null;
  /** Sends a reply to where the command says, with its correlation id; headers and value are the test's. */
  reply(reply: RawReply): Promise<void>;
}

export interface RawReply {
  readonly value?: string | Uint8Array | null;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Every command of the topics is given to `onCommand`. Closed with its transport. */
export async function startRawWorker(
  transport: WorkerTransport,
  options: { readonly topics: readonly string[]; readonly group: string },
  onCommand: (command: RawCommand) => void,
): Promise<void> {
  await transport.subscribe({
    ...options,
    onRecords: (records) => {
      for (const record of records) onCommand(readCommand(transport, record));
    },
  });
}

function readCommand(transport: WorkerTransport, record: IncomingRecord): RawCommand {
  const header = (name: string) => {
    const found = record.headers.find((each) => each[0] === name);
    return found ? Buffer.from(found[1]).toString() : null;
  };
  return {
    record,
    text: Buffer.from(record.value ?? []).toString(),
    header,
    reply: async ({ value = null, headers = {} }) => {
      const correlated = { kafka_correlationId: header('kafka_correlationId') ?? '', ...headers };
      await transport.send([
        {
          topic: header('kafka_replyTopic') ?? '',
          partition: Number(header('kafka_replyPartition')),
          key: null,
          value: typeof value === 'string' ? Buffer.from(value) : value,
          headers: toHeaderList(correlated),
        },
      ]);
    },
  };
}

function toHeaderList(headers: Readonly<Record<string, string>>): HeaderList {
  return Object.entries(headers).map(([name, value]) => [name, Buffer.from(value)]);
}
