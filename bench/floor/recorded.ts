// The floor for recorded operations: node:http, kafkajs and pg with nothing between them. A call is one row with its
// record, a 202 with its place, the record to the worker, and its reply in one transaction with the read position. The
// same rows as Sluice's, each batch of inserts, sends and settlements while the next one gathers; no dispatch mark, no
// validation, nothing repeated.
import './kafkajs-idle.ts';
import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import { Kafka, logLevel } from 'kafkajs';
import { Gather } from './gather.ts';
import { GroupCommit, socketFactory } from './group-commit.ts';
import { stopOnSignal } from './kafka-calls.ts';
import { type Accepted, RecordedStore, type Settled } from './recorded-store.ts';

const maxBatchRows = 500;
const commandTopic = process.env['COMMAND_TOPIC']!;
const replyTopic = process.env['REPLY_TOPIC']!;
const httpPort = Number(process.env['HTTP_PORT']);
const withWholeRecord = process.env['FLOOR_RECORD'] === 'whole';

type Headers = Record<string, string | string[]>;

interface Call extends Accepted {
  sent: Headers;
  recorded: () => void;
}

const store = new RecordedStore(process.env['DATABASE_URL']!, {
  command: 'bench.v1.Echo/Echo',
  commandTopic,
  replyTopic,
});
await store.create();
const kafka = new Kafka({ brokers: [process.env['KAFKA_BROKERS']!], logLevel: logLevel.ERROR, socketFactory });
const producer = kafka.producer({ allowAutoTopicCreation: false, retry: { retries: 0 } });
await producer.connect();
const outgoing = new GroupCommit(producer);
const settlements = new Gather<Settled>(maxBatchRows, (batch) => store.settle(batch));
await readReplies();

const accepts = new Gather<Call>(maxBatchRows, async (batch) => {
  await store.insert(batch);
  for (const call of batch) {
    call.recorded();
    send(call);
  }
});

function send({ key, value, sent }: Call): void {
  const fail = (error: unknown) => {
    throw error;
  };
  outgoing.add({
    topic: commandTopic,
    message: { key, value, headers: sent },
    sizeBytes: value.length + 300,
    fail,
  });
}

async function readReplies(): Promise<void> {
  const groupId = `${replyTopic}.${process.pid}`;
  const consumer = kafka.consumer({ groupId, allowAutoTopicCreation: false, maxWaitTimeInMs: 500 });
  await consumer.connect();
  await consumer.subscribe({ topic: replyTopic, fromBeginning: true });
  const joined = new Promise<void>((resolve) => {
    consumer.on(consumer.events.GROUP_JOIN, () => resolve());
  });
  await consumer.run({
    autoCommit: false,
    eachBatchAutoResolve: true,
    eachBatch: async ({ batch }) => {
      const atMs = Date.now();
      for (const { headers, value, offset } of batch.messages) {
        const id = String(headers!['kafka_correlationId']).slice(0, 36);
        settlements.add({ id, offset: BigInt(offset), value: value!, atMs });
      }
    },
  });
  await joined;
}

createServer((request, response) => {
  readBody(request, (value) => {
    const atMs = Date.now();
    const id = makeId(atMs);
    const sent = withWholeRecord ? makeWholeHeaders(id, atMs) : makeHeaders(id);
    const recorded = () => {
      response.writeHead(202, { location: `/operations/${id}`, 'content-length': '0' });
      response.end();
    };
    accepts.add({ id, key: Buffer.from(id), headers: encodeHeaders(sent), value, atMs, sent, recorded });
  });
}).listen(httpPort, '127.0.0.1');
stopOnSignal();

function readBody(request: IncomingMessage, onBody: (body: Buffer) => void): void {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => onBody(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)));
}

/** A UUIDv7 (RFC 9562): rows of one time stand together in the index. */
function makeId(atMs: number): string {
  const time = atMs.toString(16).padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-7${randomUUID().slice(15)}`;
}

/** As many headers, of the same size, as a command record of Sluice has: then its rows are the same to the byte, nearly. */
function makeWholeHeaders(id: string, atMs: number): Headers {
  return {
    ce_specversion: '1.0',
    ce_id: id,
    ce_source: 'sluice://bench',
    ce_type: 'bench.v1.Echo.Echo',
    ce_time: new Date(atMs).toISOString(),
    ce_expirytime: new Date(atMs + 60_000).toISOString(),
    'content-type': 'application/json',
    kafka_correlationId: `${id}.0.r`,
    kafka_replyTopic: replyTopic,
    kafka_replyPartition: ['0', '\u0000\u0000\u0000\u0000'],
    traceparent: `00-${id.replaceAll('-', '')}-${id.slice(0, 8)}${id.slice(9, 13)}abcd-00`,
    'sluice-attempt': '1',
    'sluice-hops': '1',
  };
}

/** What the worker needs to answer, as in the other floors. */
function makeHeaders(id: string): Headers {
  return { kafka_correlationId: id, kafka_replyTopic: replyTopic, kafka_replyPartition: '0' };
}

function encodeHeaders(headers: Headers): Buffer {
  return Buffer.from(JSON.stringify(headers));
}
