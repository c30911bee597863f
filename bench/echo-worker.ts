// The bare worker behind every gateway of the benchmark: each command's value goes back as it came, with its
// correlation id, to the topic and partition that the command names. No work, no de-duplication, no offsets kept.
import './floor/kafkajs-idle.ts';
import { once } from 'node:events';
import { type IHeaders, Kafka, type KafkaMessage, logLevel } from 'kafkajs';
import { GroupCommit, socketFactory } from './floor/group-commit.ts';

const topics = process.env['COMMAND_TOPICS']!.split(',');
const kafka = new Kafka({ brokers: [process.env['KAFKA_BROKERS']!], logLevel: logLevel.ERROR, socketFactory });
const producer = kafka.producer({ allowAutoTopicCreation: false });
const consumer = kafka.consumer({
  groupId: `echo-worker.${process.pid}`,
  allowAutoTopicCreation: false,
  maxWaitTimeInMs: 500,
});
await producer.connect();
await consumer.connect();
await consumer.subscribe({ topics, fromBeginning: true });
const outgoing = new GroupCommit(producer);
consumer.on(consumer.events.GROUP_JOIN, () => console.log('ready'));
await consumer.run({
  autoCommit: false,
  partitionsConsumedConcurrently: topics.length,
  eachBatch: async ({ batch }) => {
    for (const message of batch.messages) reply(message);
  },
});

function reply({ headers = {}, value }: KafkaMessage): void {
  const topic = readHeader(headers, 'kafka_replyTopic');
  if (topic === undefined) return;
  const correlationId = headers['kafka_correlationId'] as Buffer;
  const partition = readPartition(headers);
  const message = { value, headers: { kafka_correlationId: correlationId }, ...(partition !== null && { partition }) };
  outgoing.add({ topic: String(topic), message, sizeBytes: (value?.length ?? 0) + 200, fail: console.error });
}

function readHeader(headers: IHeaders, name: string): Buffer | string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value[0] : value;
}

/** The header comes as decimal text, as four bytes, or as both with the text first. Four digits do not begin with NUL. */
function readPartition(headers: IHeaders): number | null {
  const value = readHeader(headers, 'kafka_replyPartition');
  if (value === undefined) return null;
  const bytes = Buffer.from(value);
  return bytes.length === 4 && bytes[0] === 0 ? bytes.readInt32BE() : Number(bytes.toString());
}

await once(process, 'SIGTERM');
process.exit(0);
