import { afterAll, beforeAll, expect, it } from 'vitest';
import { findPlace, QUICK, startTestGateway, type TestGateway } from '../support/gateway.ts';
import { type RawCommand, startRawWorker } from '../support/raw-worker.ts';
import { describeWithBoth } from '../support/real-parts.ts';

const ASYNC = { prefer: 'respond-async' };
const PARTITIONS = 4;
const timeout = 90_000;

describeWithBoth('a reply that comes to another partition than its home', () => {
  let gateways: TestGateway[] = [];

  beforeAll(async () => {
    const place = await findPlace('servers');
    const start = () => startTestGateway({ stack: 'servers', place, config: QUICK });
    gateways = [await start(), await start()];
    const [first] = gateways as [TestGateway];
    const options = {
      topics: ['Do', 'Keep'].map((method) => first.topicOf(method)),
      group: `${place.namespace}.stray`,
    };
    await startRawWorker(first.transport, options, (command) => void answerElsewhere(first, command));
  });
  afterAll(() => Promise.all(gateways.map((gateway) => gateway.close())));

  /** `key` of the request says where: so many partitions further than it should, or `none` where it names no partition. */
  async function answerElsewhere({ transport }: TestGateway, command: RawCommand): Promise<void> {
    const { key, text } = JSON.parse(command.text);
    const home = Number(command.header('kafka_replyPartition'));
    const headers = [['kafka_correlationId', Buffer.from(command.header('kafka_correlationId') as string)] as const];
    const value = Buffer.from(JSON.stringify({ text: `answer to ${text}` }));
    const topic = command.header('kafka_replyTopic') as string;
    const partition = key === 'none' ? undefined : (home + Number(key)) % PARTITIONS;
    await transport.send([{ topic, partition, key: command.record.key, value, headers }]);
  }

  const countRehomed = async () => {
    const counts = gateways.map((gateway) => gateway.readMetric('sluice_forwarded_replies_total', 'rehomed'));
    return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
  };
  const everywhere = ['1', '2', '3', 'none'].flatMap((key) => [0, 1].map((gateway) => ({ key, gateway })));

  it('reaches the caller that waits, at either gateway', { timeout }, async () => {
    const before = await countRehomed();
    const calls = Array.from({ length: 5 }, () => everywhere).flat();
    const answers = await Promise.all(
      calls.map(({ key, gateway }, index) => gateways[gateway]!.rest.post('/v1/do', { key, text: `${index}` })),
    );
    expect(answers.map(({ status, body }) => [status, body.text])).toEqual(
      calls.map((_, index) => [200, `answer to ${index}`]),
    );
    // Two partitions of four are read by the other gateway: without it some answers would not have come.
    expect(await countRehomed()).toBeGreaterThan(before);
  });

  it('reaches a caller over gRPC', { timeout }, async () => {
    const asked = everywhere.map(({ key, gateway }) => gateways[gateway]!.grpc.call('Do', { key, text: key }));
    const answers = await Promise.all(asked);
    expect(answers.map(({ code }) => code)).toEqual(everywhere.map(() => 'OK'));
    expect(answers.map(({ value }) => value.text)).toEqual(everywhere.map(({ key }) => `answer to ${key}`));
  });

  it('settles its operation where it is, without being sent on', { timeout }, async () => {
    const before = await countRehomed();
    const answers = await Promise.all(
      everywhere.map(({ key, gateway }) => gateways[gateway]!.rest.post('/v1/keep', { key, text: key }, ASYNC)),
    );
    for (const [index, { key, gateway }] of everywhere.entries()) {
      // Asked of the other gateway, too.
      for (const asked of [gateways[gateway], gateways[1 - gateway]]) {
        const done = await asked!.rest.follow(answers[index]!.body.id);
        expect(done.body).toMatchObject({ state: 'succeeded', result: { text: `answer to ${key}` } });
      }
    }
    expect(await countRehomed()).toBe(before);
  });

  it('settles the operation of a call that was promised at the end of its wait', { timeout }, async () => {
    for (const { key, gateway } of everywhere) {
      const answer = await gateways[gateway]!.rest.post('/v1/do', { key, text: key }, { prefer: 'wait=0' });
      if (answer.status === 200) continue;
      expect(answer.status, answer.text).toBe(202);
      const done = await gateways[1 - gateway]!.rest.follow(answer.body.id);
      expect(done.body).toMatchObject({ state: 'succeeded', result: { text: `answer to ${key}` } });
    }
  });
});
