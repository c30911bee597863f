import type { Kafka } from 'kafkajs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { PlainRecord } from '../support/channel-harness.ts';
import { startTestGateway, type TestGateway } from '../support/gateway.ts';
import { makePlainKafka, watchTopic } from '../support/kafka-channel.ts';
import { describeWithBoth } from '../support/real-parts.ts';

const TRACE = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

describeWithBoth('a command record, read by a plain consumer', ({ brokers }) => {
  let kafka: Kafka;
  let sluice: TestGateway;
  const closing: (() => Promise<void>)[] = [];

  beforeAll(async () => {
    kafka = makePlainKafka(brokers);
    sluice = await startTestGateway({
      stack: 'servers',
      config: {
        contract: {
          policies: {
            methods: {
              'calls.v1.Calls/Make': { topic: 'shared.topic', encoding: 'PROTOBUF', reply_partition: 'NEST' },
              'calls.v1.Calls/Keep': { json: { emit_defaults: false, names: 'PROTO' }, reply_partition: 'SPRING' },
              'calls.v1.Calls/Hurry': { reply_partition: 'NONE', wait: '200ms', timeout: '60s' },
            },
          },
        },
      },
    });
  });
  afterAll(async () => {
    await Promise.all(closing.map((close) => close()));
    await sluice.close();
  });

  const readFirst = async (topic: string): Promise<PlainRecord> => {
    const { seen, close } = await watchTopic(kafka, topic);
    closing.push(close);
    await expect.poll(() => seen.length, { timeout: 15_000 }).toBe(1);
    return seen[0]!;
  };
  const one = (record: PlainRecord, name: string) => {
    expect(record.headers[name], name).toHaveLength(1);
    return record.headers[name]![0]!;
  };
  /** The partition in both forms must be one. */
  const bytesOf = (partition: number) => String.fromCharCode(0, 0, 0, partition);

  it('carries exactly the headers that the wire protocol names, with their values', async () => {
    const before = Date.now();
    const headers = { traceparent: TRACE, tracestate: 'vendor=a', 'x-tenant': 'acme', prefer: 'wait=0' };
    const answer = await sluice.rest.post('/v1/do', { key: 'customer 7', text: 'Grüße', large: '5' }, headers);
    expect(answer.status, answer.text).toBe(202);
    const record = await readFirst(sluice.topicOf('Do'));
    expect(Object.keys(record.headers)).toEqual([
      'ce_specversion',
      'ce_id',
      'ce_source',
      'ce_type',
      'ce_time',
      'ce_expirytime',
      'content-type',
      'kafka_correlationId',
      'kafka_replyTopic',
      'kafka_replyPartition',
      'traceparent',
      'tracestate',
      'sluice-attempt',
      'sluice-hops',
      '__TypeId__',
      'x-tenant',
    ]);
    expect(one(record, 'ce_specversion')).toBe('1.0');
    expect(one(record, 'ce_id')).toBe(answer.body.id);
    expect(one(record, 'ce_source')).toBe(`sluice://${sluice.place.namespace}`);
    expect(one(record, 'ce_type')).toBe('calls.v1.Calls.Do');
    expect(one(record, 'ce_time')).toMatch(TIME);
    const timeMs = Date.parse(one(record, 'ce_time'));
    expect(timeMs).toBe(Date.parse(answer.body.createdAt));
    expect(Math.abs(timeMs - before)).toBeLessThan(60_000);
    expect(Date.parse(one(record, 'ce_expirytime'))).toBe(timeMs + 60_000);
    expect(one(record, 'content-type')).toBe('application/json');
    expect(one(record, 'kafka_correlationId')).toMatch(/^[!-z|}~][!-~]{0,79}$/);
    expect(one(record, 'kafka_correlationId')).toContain(answer.body.id);
    expect(one(record, 'kafka_replyTopic')).toBe(`${sluice.place.namespace}.sluice.replies`);
    const [text, bytes, ...more] = record.headers['kafka_replyPartition']!;
    expect(text).toMatch(/^[0-3]$/);
    expect(bytes).toBe(bytesOf(Number(text)));
    expect(more).toEqual([]);
    expect(one(record, 'traceparent')).toBe(TRACE);
    expect(one(record, 'tracestate')).toBe('vendor=a');
    expect(one(record, 'sluice-attempt')).toBe('1');
    expect(one(record, 'sluice-hops')).toBe('1');
    expect(one(record, '__TypeId__')).toBe('calls.Do');
    expect(one(record, 'x-tenant')).toBe('acme');
    expect(record.key).toBe('customer 7');
    expect(JSON.parse(record.value!)).toEqual({ key: 'customer 7', text: 'Grüße', large: '5' });
  });

  it('has the key, encoding, topic and reply partition of its policy: protobuf, NestJS', async () => {
    await sluice.rest.post('/v1/make', { text: 'hi' }, { prefer: 'wait=0' });
    const record = await readFirst(`${sluice.place.namespace}.shared.topic`);
    expect(one(record, 'content-type')).toBe('application/protobuf');
    expect(one(record, 'ce_type')).toBe('calls.v1.Calls.Make');
    expect(one(record, 'kafka_replyPartition')).toMatch(/^[0-3]$/);
    expect(record.value).toBe('\x12\x02hi');
    expect(record.key).toMatch(UUID);
    expect(record.key).toBe(one(record, 'ce_id'));
    expect(record.headers).not.toHaveProperty('tracestate');
  });

  it('proto names, Spring', async () => {
    await sluice.rest.post('/v1/keep', { kind: 'RYE' }, { prefer: 'wait=0' });
    const record = await readFirst(sluice.topicOf('Keep'));
    expect(one(record, 'kafka_replyPartition')).toSatisfy((bytes: string) =>
      [0, 1, 2, 3].some((partition) => bytes === bytesOf(partition)),
    );
    expect(JSON.parse(record.value!)).toEqual({ kind: 'RYE' });
  });

  it('no reply partition, and a deadline that is the end of a wait which is never promised', async () => {
    await sluice.rest.post('/v1/hurry', {});
    const record = await readFirst(sluice.topicOf('Hurry'));
    expect(record.headers).not.toHaveProperty('kafka_replyPartition');
    expect(record.headers).toHaveProperty('kafka_replyTopic');
    expect(Date.parse(one(record, 'ce_expirytime')) - Date.parse(one(record, 'ce_time'))).toBe(200);
  });

  it('asks for no reply where the command is one way', async () => {
    await sluice.rest.post('/v1/tell', {});
    const record = await readFirst(sluice.topicOf('Tell'));
    expect(Object.keys(record.headers)).toEqual([
      'ce_specversion',
      'ce_id',
      'ce_source',
      'ce_type',
      'ce_time',
      'ce_expirytime',
      'content-type',
      'traceparent',
      'sluice-attempt',
      'sluice-hops',
    ]);
  });
});
