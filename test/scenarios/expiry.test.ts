import { kafkaTransport, silentLogger, type WorkerTransport } from '@sluice/worker';
import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  describeOnBothStacks,
  findPlace,
  type Place,
  QUICK,
  startTestGateway,
  type TestGateway,
} from '../support/gateway.ts';
import { type KafkaBroker, startKafkaBroker } from '../support/kafka-broker.ts';
import { query } from '../support/postgres-server.ts';
import { type RawCommand, startRawWorker } from '../support/raw-worker.ts';
import { describeWithBoth, realKafka } from '../support/real-parts.ts';
import { readTopic, recordsOf, type SeenRecord } from '../support/topic-reader.ts';

const SOON = { timeout: 30_000 };
const TEST_TIMEOUT_MS = 90_000;
const ASYNC = { prefer: 'respond-async' };
const COMMAND = 'calls.v1.Calls/Keep';

describeOnBothStacks('an operation that nobody answers', (stack) => {
  let sluice: TestGateway;
  let letters: readonly SeenRecord[];

  beforeAll(async () => {
    sluice = await startTestGateway({ stack, config: QUICK, policies: { Keep: { timeout: '1s' } } });
    letters = await readTopic(sluice.transport, `${sluice.place.namespace}.sluice.dead-letters`);
  });
  afterAll(() => sluice.close());

  it('expires at its deadline, delivery unknown', { timeout: TEST_TIMEOUT_MS }, async () => {
    const { body } = await sluice.rest.post('/v1/keep', { text: 'lost' }, ASYNC);
    const error = { code: 'OPERATION_EXPIRED', delivery: 'unknown' };
    const status = await sluice.rest.follow(body.id);
    expect(status.body).toMatchObject({ state: 'expired', done: true, error });
    const result = await sluice.rest.get(`/operations/${body.id}/result`);
    expect(result.status, result.text).toBe(504);
    expect(result.body).toMatchObject(error);
    const overGrpc = await sluice.grpc.waitOperation(`operations/${body.id}`);
    expect(overGrpc.value).toMatchObject({ done: true, error: { code: 4 } });
  });

  it('leaves a dead letter with command, reason and history', { timeout: TEST_TIMEOUT_MS }, async () => {
    const { body } = await sluice.rest.post('/v1/keep', { text: 'mourned' }, ASYNC);
    await expect.poll(() => recordsOf(letters, body.id)[0], SOON).toBeDefined();
    const [found] = recordsOf(letters, body.id) as [SeenRecord];
    expect(found.key).toBe(body.id);
    expect(JSON.parse(found.text ?? '')).toEqual({ text: 'mourned' });
    expect(found.header('sluice-dead-letter-command')).toBe(COMMAND);
    expect(found.header('sluice-dead-letter-topic')).toBe(sluice.topicOf('Keep'));
    expect(found.header('sluice-dead-letter-reason')).toMatch(/deadline/);
    expect(found.header('sluice-dead-letter-code')).toBe('OPERATION_EXPIRED');
    expect(found.header('sluice-dead-letter-state')).toBe('expired');
    expect(found.header('sluice-dead-letter-delivery')).toBe('unknown');
    expect(found.header('sluice-dead-letter-attempts')).toBe('1');
    const { events } = JSON.parse(found.header('sluice-dead-letter-history') ?? '');
    expect(events.map(({ type }: { type: string }) => type)).toEqual(['accepted', 'dispatched', 'expired']);
  });
});

describeWithBoth('an operation whose command could not be sent before its deadline', () => {
  let broker: KafkaBroker;
  let sluice: TestGateway;

  beforeAll(async () => {
    broker = await startKafkaBroker();
    sluice = await startTestGateway({
      stack: 'servers',
      config: { ...QUICK, kafka: { brokers: broker.brokers, publish: { connectTimeoutMs: 1_000 } } },
      policies: { Keep: { timeout: '3s' } },
    });
  }, 120_000);
  afterAll(async () => {
    await sluice?.close();
    await broker?.stop();
  });

  it('expires not_sent, and is not sent later', { timeout: 180_000 }, async () => {
    await broker.kill();
    await expect.poll(() => sluice.gateway.readiness().degraded, SOON).not.toEqual([]);
    const { body, status } = await sluice.rest.post('/v1/keep', { text: 'too late' }, ASYNC);
    expect(status).toBe(202);
    const ended = await sluice.rest.follow(body.id);
    const error = { code: 'OPERATION_EXPIRED', delivery: 'not_sent' };
    expect(ended.body).toMatchObject({ state: 'expired', error });
    await broker.restart();
    await sluice.waitUntilReady();
    const commands = await readTopic(sluice.transport, sluice.topicOf('Keep'));
    // What is made now comes to the log after all that was still to be sent.
    const next = await sluice.rest.post('/v1/keep', { text: 'in time' }, ASYNC);
    await expect.poll(() => recordsOf(commands, next.body.id).length, SOON).toBe(1);
    expect(recordsOf(commands, body.id)).toEqual([]);
    expect((await sluice.rest.get(`/operations/${body.id}`)).body).toMatchObject({ state: 'expired', error });
  });
});

describeWithBoth('a reply that came while no gateway ran', () => {
  let place: Place;
  let transport: WorkerTransport;
  const gateways: TestGateway[] = [];
  const start = async () => {
    const gateway = await startTestGateway({ stack: 'servers', place, config: QUICK });
    gateways.push(gateway);
    return gateway;
  };

  beforeAll(async () => {
    place = await findPlace('servers');
    transport = kafkaTransport({ brokers: realKafka() ?? [], maxWaitMs: 100, logger: silentLogger });
  });
  afterAll(async () => {
    await transport.close();
    await Promise.all(gateways.map((gateway) => gateway.close()));
  });

  it('counts though the deadline is past when it is read', { timeout: TEST_TIMEOUT_MS }, async () => {
    const first = await start();
    const taken = new Map<string, RawCommand>();
    const group = { topics: [first.topicOf('Keep')], group: `${place.namespace}.raw` };
    await startRawWorker(transport, group, (command) => taken.set(command.header('ce_id') as string, command));
    const answered = await first.rest.post('/v1/keep', {}, ASYNC);
    const silent = await first.rest.post('/v1/keep', {}, ASYNC);
    await expect.poll(() => taken.size, SOON).toBe(2);
    await first.close();
    await taken.get(answered.body.id)?.reply({ value: '{"text":"in time"}' });
    // An hour later.
    await query(place.databaseUrl as string, 'UPDATE sluice.clock_offset SET offset_ms = 3600000');
    const second = await start();
    const late = await second.rest.follow(silent.body.id);
    expect(late.body).toMatchObject({ state: 'expired', error: { delivery: 'unknown' } });
    const settled = await second.rest.follow(answered.body.id);
    expect(settled.body).toMatchObject({ state: 'succeeded', result: { text: 'in time' } });
  });
});
