import { afterAll, beforeAll, expect, it } from 'vitest';
import { describeOnBothStacks, QUICK, startTestGateway, type TestGateway } from '../support/gateway.ts';
import { type KafkaBroker, startKafkaBroker } from '../support/kafka-broker.ts';
import { describeWithBoth } from '../support/real-parts.ts';
import { readTopic, recordsOf, type SeenRecord } from '../support/topic-reader.ts';

const SOON = { timeout: 40_000 };
const timeout = 60_000;

describeOnBothStacks('a one-way command that is recorded', (stack) => {
  let sluice: TestGateway;
  let told: readonly SeenRecord[];

  // Without a worker: nobody but the broker could have said that it is done.
  beforeAll(async () => {
    sluice = await startTestGateway({ stack });
    told = await readTopic(sluice.transport, sluice.topicOf('Tell'));
  });
  afterAll(() => sluice.close());

  it('is succeeded as soon as the broker has it', { timeout }, async () => {
    const { body, status } = await sluice.rest.post('/v1/tell-kept', { text: 'kept' });
    expect(status).toBe(202);
    const done = await sluice.rest.follow(body.id);
    expect(done.body).toMatchObject({ state: 'succeeded', done: true });
    const history = await sluice.rest.get(`/operations/${body.id}/events`);
    expect(history.body.events.map(({ type }: { type: string }) => type)).toEqual([
      'accepted',
      'dispatched',
      'succeeded',
    ]);
  });

  it('is so for an Idempotency-Key too, and is not sent for the same key again', { timeout }, async () => {
    const headers = { 'idempotency-key': '"told once"' };
    const first = await sluice.rest.post('/v1/tell', { text: 'once' }, headers);
    expect(first.status, first.text).toBe(202);
    const id = first.headers.get('location')?.replace('/operations/', '') as string;
    expect((await sluice.rest.follow(id)).body).toMatchObject({ state: 'succeeded' });
    const second = await sluice.rest.post('/v1/tell', { text: 'once' }, headers);
    expect(second.status).toBeLessThan(300);
    const plain = await sluice.rest.post('/v1/tell', { text: 'after' });
    await expect.poll(() => recordsOf(told, plain.body.id).length, SOON).toBe(1);
    await expect.poll(() => recordsOf(told, id).length, SOON).toBe(1);
    expect(told.length).toBe(2);
  });
});

describeWithBoth('a one-way command while Kafka is down', () => {
  let broker: KafkaBroker;
  let sluice: TestGateway;

  beforeAll(async () => {
    broker = await startKafkaBroker();
    const kafka = { brokers: broker.brokers, publish: { connectTimeoutMs: 1_000 } };
    sluice = await startTestGateway({ stack: 'servers', config: { ...QUICK, kafka } });
  }, 120_000);
  afterAll(async () => {
    await sluice?.close();
    await broker?.stop();
  }, 120_000);

  it('is refused, or accepted where it is recorded and done when Kafka is back', { timeout: 180_000 }, async () => {
    await broker.kill();
    await expect.poll(() => sluice.gateway.readiness().degraded, SOON).not.toEqual([]);
    const refused = await sluice.rest.post('/v1/tell', {});
    expect(refused.status, refused.text).toBe(503);
    expect(refused.body).toMatchObject({ code: 'CHANNEL_UNAVAILABLE', delivery: 'not_sent' });
    const { body, status } = await sluice.rest.post('/v1/tell-kept', {}, { prefer: 'respond-async' });
    expect(status).toBe(202);
    expect((await sluice.rest.get(`/operations/${body.id}`)).body).toMatchObject({ state: 'accepted', done: false });
    await broker.restart();
    expect((await sluice.rest.follow(body.id)).body).toMatchObject({ state: 'succeeded' });
    await sluice.waitUntilReady();
    expect((await sluice.rest.post('/v1/tell', {})).status).toBe(202);
  });
});
