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
import { describeWithBoth } from '../support/real-parts.ts';
import { readTopic, type SeenRecord } from '../support/topic-reader.ts';

const ASYNC = { prefer: 'respond-async' };
const SOON = { timeout: 60_000 };
const KEYS = ['red', 'green', 'blue'];
const policies = { Do: { ordered: true, timeout: '5m' } };

/** By key, the texts that were acknowledged, in that order. */
class Acknowledged {
  readonly texts = new Map<string, string[]>(KEYS.map((key) => [key, []]));
  count = 0;

  /** The next call of each key waits for the answer to the one before it. */
  async call(sluice: TestGateway, key: string): Promise<void> {
    this.count += 1;
    const text = `${key} ${this.count}`;
    const answer = await sluice.rest.post('/v1/do', { key, text }, ASYNC);
    expect(answer.status, answer.text).toBe(202);
    this.texts.get(key)!.push(text);
  }
}

/** A record may stand twice on a log that was killed in the middle of a send; its first place counts. */
function textsByKey(commands: readonly SeenRecord[]): Map<string, string[]> {
  const texts = new Map<string, string[]>(KEYS.map((key) => [key, []]));
  const sorted = commands.toSorted((one, other) => Number(one.offset - other.offset));
  for (const command of sorted) {
    const list = texts.get(command.key as string)!;
    const { text } = JSON.parse(command.text as string);
    if (!list.includes(text)) list.push(text);
  }
  return texts;
}

async function expectOrder(commands: readonly SeenRecord[], acknowledged: Acknowledged): Promise<void> {
  await expect.poll(() => [...textsByKey(commands).values()].flat().length, SOON).toBe(acknowledged.count);
  expect(textsByKey(commands)).toEqual(acknowledged.texts);
}

describeOnBothStacks('commands that are kept in the order of their key', (stack) => {
  let sluice: TestGateway;
  let commands: readonly SeenRecord[];

  beforeAll(async () => {
    sluice = await startTestGateway({ stack, config: QUICK, policies });
    commands = await readTopic(sluice.transport, sluice.topicOf('Do'));
  });
  afterAll(() => sluice.close());

  it('stand on their topic in the order in which they were acknowledged', { timeout: 90_000 }, async () => {
    const acknowledged = new Acknowledged();
    // Keys are independent, so they are called beside each other.
    await Promise.all(
      KEYS.map(async (key) => {
        for (let call = 0; call < 15; call += 1) await acknowledged.call(sluice, key);
      }),
    );
    await expectOrder(commands, acknowledged);
  });
});

describeWithBoth('commands that are kept in the order of their key, over two gateways', () => {
  let broker: KafkaBroker;
  let place: Place;
  const gateways: TestGateway[] = [];

  beforeAll(async () => {
    [broker, place] = await Promise.all([startKafkaBroker(), findPlace('servers')]);
    const kafka = { brokers: broker.brokers, publish: { connectTimeoutMs: 1_000, requestTimeoutMs: 3_000 } };
    for (let count = 0; count < 2; count += 1) {
      gateways.push(await startTestGateway({ stack: 'servers', place, config: { ...QUICK, kafka }, policies }));
    }
  }, 120_000);
  afterAll(async () => {
    await Promise.all(gateways.map((gateway) => gateway.close()));
    await broker?.stop();
  }, 120_000);

  it('stand there in that order too where Kafka was down in the middle', { timeout: 240_000 }, async () => {
    const acknowledged = new Acknowledged();
    const callInTurn = (rounds: number) =>
      Promise.all(
        KEYS.map(async (key, place) => {
          for (let call = 0; call < rounds; call += 1) {
            await acknowledged.call(gateways[(call + place) % 2] as TestGateway, key);
          }
        }),
      );
    await callInTurn(6);
    const killed = broker.kill();
    await callInTurn(6);
    await killed;
    await callInTurn(4);
    const restarted = broker.restart();
    await callInTurn(6);
    await restarted;
    await callInTurn(4);
    const [first] = gateways as [TestGateway];
    const commands = await readTopic(first.transport, first.topicOf('Do'));
    await expectOrder(commands, acknowledged);
  });
});
