import { afterAll, beforeAll, expect, it } from 'vitest';
import { findPlace, type Place, QUICK, startTestGateway, type TestGateway } from '../support/gateway.ts';
import { type KafkaBroker, startKafkaBroker } from '../support/kafka-broker.ts';
import { describeWithBoth } from '../support/real-parts.ts';
import { readTopic, recordsOf } from '../support/topic-reader.ts';
import { waitUntil } from '../support/wait.ts';

const ASYNC = { prefer: 'respond-async' };
const SOON = { timeout: 60_000 };
const timeout = 120_000;
const startTimeoutMs = 120_000;

const bound = (sluice: TestGateway) => sluice.config.operations.maxUnpublished;
const isDegraded = (sluice: TestGateway) =>
  waitUntil({ what: 'an outage noticed', timeoutMs: 60_000 }, () => sluice.gateway.readiness().degraded.length > 0);

/** On a Kafka of their own, that may be killed. */
function gatewaysOn(broker: () => KafkaBroker, place: () => Place) {
  const all: TestGateway[] = [];
  return {
    start: async (options: { readonly whole?: boolean } = {}) => {
      const kafka = {
        brokers: broker().brokers,
        publish: { connectTimeoutMs: 1_000, requestTimeoutMs: 2_000 },
      };
      const config = { ...QUICK, kafka, operations: { maxUnpublished: 12 } };
      const sluice = await startTestGateway({ stack: 'servers', place: place(), config, ...options });
      all.push(sluice);
      return sluice;
    },
    close: async () => void (await Promise.all(all.map((sluice) => sluice.close()))),
  };
}

describeWithBoth('while Kafka is down', () => {
  let broker: KafkaBroker;
  let place: Place;
  const gateways = gatewaysOn(
    () => broker,
    () => place,
  );
  let first: TestGateway;
  let second: TestGateway;
  const promised: string[] = [];

  beforeAll(async () => {
    [broker, place] = await Promise.all([startKafkaBroker(), findPlace('servers')]);
    first = await gateways.start();
    await broker.kill();
    await isDegraded(first);
  }, startTimeoutMs);
  afterAll(async () => {
    await gateways.close();
    await broker?.stop();
  }, startTimeoutMs);

  const promise = async (sluice: TestGateway, text: string) => {
    const answer = await sluice.rest.post('/v1/keep', { text }, ASYNC);
    if (answer.status === 202) promised.push(answer.body.id);
    return answer;
  };

  it('what is recorded is accepted', { timeout }, async () => {
    for (let call = 0; call < 4; call += 1) {
      const answer = await promise(first, `call ${call}`);
      expect(answer.status, answer.text).toBe(202);
      expect(answer.body).toMatchObject({ state: 'accepted', done: false });
    }
    expect((await first.rest.get(`/operations/${promised[0]}`)).body).toMatchObject({ state: 'accepted' });
    expect(first.gateway.readiness()).toMatchObject({ ready: true, reasons: [] });
  });

  it('what is not recorded is refused as not_sent, long before its wait ends', { timeout }, async () => {
    const patience = AbortSignal.timeout(25_000);
    const call = { body: { text: 'unrecorded' }, headers: { prefer: 'wait=30' }, signal: patience };
    const answer = await first.rest.call('POST', '/v1/do', call);
    expect(answer.status, answer.text).toBe(503);
    expect(answer.body).toMatchObject({ code: 'CHANNEL_UNAVAILABLE', delivery: 'not_sent' });
    expect(answer.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
    const overGrpc = await first.grpc.call('Do', { text: 'unrecorded' }, { timeoutMs: 25_000 });
    expect(overGrpc.code, overGrpc.message).toBe('UNAVAILABLE');
    expect(overGrpc.details?.info).toMatchObject({ metadata: { delivery: 'not_sent' } });
  });

  it('past operations.max_unpublished the answer is 503 with Retry-After, and what was promised stays', {
    timeout,
  }, async () => {
    while (promised.length < bound(first)) expect((await promise(first, 'more')).status).toBe(202);
    const refused = await promise(first, 'one too many');
    expect(refused.status, refused.text).toBe(503);
    expect(refused.body).toMatchObject({ code: 'OVERLOADED', delivery: 'not_sent' });
    expect(refused.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
    expect(await first.readMetric('sluice_unpublished_operations')).toBe(bound(first));
    for (const id of promised) {
      expect((await first.rest.get(`/operations/${id}`)).body).toMatchObject({ state: 'accepted' });
    }
  });

  it('a gateway that starts accepts', { timeout }, async () => {
    second = await gateways.start({ whole: false });
    expect(second.gateway.readiness().degraded).not.toEqual([]);
    const answer = await promise(second, 'at the second');
    expect(answer.status, answer.text).toBe(202);
  });

  it('what was promised is published once Kafka is back, each once, also that of a gateway which is gone', {
    timeout: 240_000,
  }, async () => {
    await first.close();
    await broker.restart();
    await second.waitUntilReady();
    await second.startWorker({ Keep: ({ text }: { text: string }) => ({ text: `did ${text}` }) });
    for (const id of promised) {
      const done = await second.rest.follow(id);
      expect(done.body, done.text).toMatchObject({ state: 'succeeded', attempt: 1 });
    }
    const commands = await readTopic(second.transport, second.topicOf('Keep'));
    expect(promised.length).toBe(bound(first) + 1);
    await expect.poll(() => commands.length, SOON).toBeGreaterThanOrEqual(promised.length);
    // One more, after them: nothing else is on its way.
    const last = await second.rest.post('/v1/keep', { text: 'last' }, ASYNC);
    await expect.poll(() => recordsOf(commands, last.body.id).length, SOON).toBe(1);
    const counts = promised.map((id) => recordsOf(commands, id).length);
    expect(counts).toEqual(promised.map(() => 1));
    const texts = commands.map(({ text }) => text);
    expect(texts.filter((text) => text?.includes('one too many'))).toEqual([]);
    expect((await second.rest.post('/v1/do', {}, { prefer: 'wait=0' })).status).toBe(202);
  });
});

describeWithBoth('while Kafka is paused', () => {
  let broker: KafkaBroker;
  let place: Place;
  const gateways = gatewaysOn(
    () => broker,
    () => place,
  );
  let sluice: TestGateway;

  beforeAll(async () => {
    [broker, place] = await Promise.all([startKafkaBroker(), findPlace('servers')]);
    sluice = await gateways.start();
  }, startTimeoutMs);
  afterAll(async () => {
    broker?.resume();
    await gateways.close();
    await broker?.stop();
  }, startTimeoutMs);

  it('what is recorded is accepted, and done once it goes on, each by one run', { timeout: 240_000 }, async () => {
    const runs: string[] = [];
    await sluice.startWorker({
      Keep: ({ text }: { text: string }) => {
        runs.push(text);
        return { text };
      },
    });
    broker.pause();
    const texts = Array.from({ length: 5 }, (_, index) => `call ${index}`);
    const answers = await Promise.all(texts.map((text) => sluice.rest.post('/v1/keep', { text }, ASYNC)));
    expect(answers.map(({ status }) => status)).toEqual(texts.map(() => 202));
    await isDegraded(sluice);
    broker.resume();
    for (const { body } of answers) {
      expect((await sluice.rest.follow(body.id)).body).toMatchObject({ state: 'succeeded' });
    }
    expect(runs.toSorted()).toEqual(texts);
  });
});
