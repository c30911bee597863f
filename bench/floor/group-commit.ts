// While one send is on its way the next batch gathers; there is no linger, so a lone record leaves at once.
import { connect } from 'node:net';
import type { ISocketFactory, Message, Producer } from 'kafkajs';

const maxBatchMessages = 500;
const maxBatchBytes = 800 * 1024;

export interface Outgoing {
  topic: string;
  message: Message;
  sizeBytes: number;
  /** Called when the send of this record failed. */
  fail: (error: unknown) => void;
}

export class GroupCommit {
  #gathered: Outgoing[] = [];
  #sending = false;
  readonly #producer: Producer;

  constructor(producer: Producer) {
    this.#producer = producer;
  }

  add(record: Outgoing): void {
    this.#gathered.push(record);
    if (this.#sending) return;
    this.#sending = true;
    // The records of one turn of the event loop go together.
    setImmediate(() => void this.#sendAll());
  }

  async #sendAll(): Promise<void> {
    while (this.#gathered.length > 0) {
      const batch = this.#take();
      try {
        await this.#producer.sendBatch({ acks: -1, topicMessages: groupByTopic(batch) });
      } catch (error) {
        for (const record of batch) record.fail(error);
      }
    }
    this.#sending = false;
  }

  #take(): Outgoing[] {
    let count = 0;
    for (let sizeBytes = 0; count < this.#gathered.length && count < maxBatchMessages; count++) {
      sizeBytes += this.#gathered[count]!.sizeBytes;
      if (sizeBytes > maxBatchBytes && count > 0) break;
    }
    return this.#gathered.splice(0, count);
  }
}

function groupByTopic(batch: Outgoing[]): { topic: string; messages: Message[] }[] {
  const byTopic = new Map<string, Message[]>();
  for (const { topic, message } of batch) {
    const messages = byTopic.get(topic);
    if (messages) messages.push(message);
    else byTopic.set(topic, [message]);
  }
  return [...byTopic].map(([topic, messages]) => ({ topic, messages }));
}

/** kafkajs leaves Nagle's algorithm on. */
export const socketFactory: ISocketFactory = ({ host, port, onConnect }) => {
  const socket = connect({ host, port, noDelay: true }, onConnect);
  socket.setKeepAlive(true, 60_000);
  return socket;
};
