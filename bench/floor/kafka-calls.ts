// Request and reply over Kafka with nothing else: no validation, no timeouts, no failures told, nothing recorded.
import './kafkajs-idle.ts';
import { once } from 'node:events';
import { Kafka, logLevel } from 'kafkajs';
import { GroupCommit, socketFactory } from './group-commit.ts';

interface Waiter {
  resolve: (value: Buffer) => void;
  reject: (error: unknown) => void;
}

export type Call = (value: Buffer) => Promise<Buffer>;

/** Joins the reply topic (one partition, this reader only) and resolves once calls can be made. */
export async function connectCalls(): Promise<Call> {
  const commandTopic = process.env['COMMAND_TOPIC']!;
  const replyTopic = process.env['REPLY_TOPIC']!;
  const kafka = new Kafka({ brokers: [process.env['KAFKA_BROKERS']!], logLevel: logLevel.ERROR, socketFactory });
  const waiters = new Map<string, Waiter>();
  await readReplies(kafka, replyTopic, waiters);
  const producer = kafka.producer({ allowAutoTopicCreation: false, retry: { retries: 0 } });
  await producer.connect();
  const outgoing = new GroupCommit(producer);
  let lastId = 0;

  return (value) =>
    new Promise<Buffer>((resolve, reject) => {
      const id = String(++lastId);
      waiters.set(id, { resolve, reject });
      outgoing.add({
        topic: commandTopic,
        message: {
          value,
          headers: { kafka_correlationId: id, kafka_replyTopic: replyTopic, kafka_replyPartition: '0' },
        },
        sizeBytes: value.length + 200,
        fail: (error) => {
          waiters.delete(id);
          reject(error);
        },
      });
    });
}

async function readReplies(kafka: Kafka, replyTopic: string, waiters: Map<string, Waiter>): Promise<void> {
  const consumer = kafka.consumer({
    groupId: `${replyTopic}.${process.pid}`,
    allowAutoTopicCreation: false,
    maxWaitTimeInMs: 500,
  });
  await consumer.connect();
  await consumer.subscribe({ topic: replyTopic, fromBeginning: true });
  const joined = new Promise<void>((resolve) => {
    consumer.on(consumer.events.GROUP_JOIN, () => resolve());
  });
  await consumer.run({
    autoCommit: false,
    eachBatchAutoResolve: true,
    eachBatch: async ({ batch }) => {
      for (const { headers, value } of batch.messages) {
        const id = String(headers!['kafka_correlationId']);
        const waiter = waiters.get(id);
        waiters.delete(id);
        waiter?.resolve(value!);
      }
    },
  });
  await joined;
}

export function stopOnSignal(): void {
  void once(process, 'SIGTERM').then(() => process.exit(0));
}
