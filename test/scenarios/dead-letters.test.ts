import { afterAll, beforeAll, expect, it } from 'vitest';
import { describeOnBothStacks, startTestGateway, type TestGateway } from '../support/gateway.ts';
import { type RawCommand, startRawWorker } from '../support/raw-worker.ts';
import { readTopic, type SeenRecord } from '../support/topic-reader.ts';

const ASYNC = { prefer: 'respond-async' };
const SOON = { timeout: 30_000 };
const timeout = 60_000;

type Answering = (command: RawCommand) => Promise<void>;

describeOnBothStacks('a reply that cannot be read', (stack) => {
  /** By key of the command. */
  const answering = new Map<string, Answering>();
  let sluice: TestGateway;
  let letters: readonly SeenRecord[];
  let replyTopic: string;

  beforeAll(async () => {
    sluice = await startTestGateway({ stack, config: { operations: { maxResultBytes: 10_000 } } });
    letters = await readTopic(sluice.transport, `${sluice.place.namespace}.sluice.dead-letters`);
    const options = { topics: [sluice.topicOf('Keep')], group: `${sluice.place.namespace}.raw` };
    await startRawWorker(sluice.transport, options, (command) => {
      replyTopic = command.header('kafka_replyTopic') as string;
      void answering.get(JSON.parse(command.text).key)?.(command);
    });
  });
  afterAll(() => sluice.close());

  /** Resolves with the operation as it ended. */
  const ask = async (key: string, answer: Answering) => {
    answering.set(key, answer);
    const { body } = await sluice.rest.post('/v1/keep', { key }, ASYNC);
    return (await sluice.rest.follow(body.id)).body;
  };
  const findLetter = async (text: string): Promise<SeenRecord> => {
    await expect.poll(() => letters.filter((letter) => letter.text === text).length, SOON).toBe(1);
    return letters.find((letter) => letter.text === text) as SeenRecord;
  };
  const expectOrigin = (letter: SeenRecord) => {
    expect(letter.header('sluice-dead-letter-topic')).toBe(replyTopic);
    expect(letter.header('sluice-dead-letter-partition')).toMatch(/^\d+$/);
    expect(letter.header('sluice-dead-letter-offset')).toMatch(/^\d+$/);
  };

  it('is of no known kind: ends its operation and is kept with the reason', { timeout }, async () => {
    const reply = { value: '{"text":"kind"}', headers: { 'sluice-kind': 'surprise' } };
    const operation = await ask('kind', (command) => command.reply(reply));
    expect(operation).toMatchObject({ state: 'failed', error: { code: 'REPLY_INVALID', delivery: 'unknown' } });
    const letter = await findLetter(reply.value);
    expect(letter.header('sluice-dead-letter-code')).toBe('REPLY_INVALID');
    expect(letter.header('sluice-dead-letter-reason')).toContain('sluice-kind');
    expect(letter.header('kafka_correlationId')).toContain(operation.id);
    expectOrigin(letter);
  });

  it.each([
    ['has a value that is no JSON', '{"text":'],
    ['does not fit the contract', '{"text":{"deep":1}}'],
  ])('%s: ends its operation and leaves a letter with the reason', { timeout }, async (what, value) => {
    const operation = await ask(what, (command) => command.reply({ value }));
    expect(operation).toMatchObject({ state: 'failed', error: { code: 'REPLY_INVALID', delivery: 'unknown' } });
    const lettersOf = () =>
      letters.filter((letter) => letter.header('kafka_correlationId')?.includes(operation.id) ?? false);
    await expect.poll(() => lettersOf().length, SOON).toBe(1);
    const [letter] = lettersOf() as [SeenRecord];
    expect(letter.header('sluice-dead-letter-code')).toBe('REPLY_INVALID');
    expect(letter.header('sluice-dead-letter-reason')).toMatch(/\S/);
  });

  it('is too large: ends its operation and is kept with the reason', { timeout }, async () => {
    const value = JSON.stringify({ text: 'x'.repeat(20_000) });
    const operation = await ask('large', (command) => command.reply({ value }));
    expect(operation).toMatchObject({ state: 'failed', error: { code: 'RESULT_TOO_LARGE', delivery: 'unknown' } });
    const letter = await findLetter(value);
    expect(letter.header('sluice-dead-letter-code')).toBe('RESULT_TOO_LARGE');
    expect(letter.header('sluice-dead-letter-reason')).toContain(String(value.length));
    expect(letter.header('kafka_correlationId')).toContain(operation.id);
    expectOrigin(letter);
  });

  it.each<[string, string | null]>([
    ['no correlation id', null],
    ["somebody else's correlation id", 'order-77'],
  ])('has %s: is kept with the reason, and the true reply counts', { timeout }, async (what, correlation) => {
    const value = JSON.stringify({ text: what });
    const operation = await ask(what, async (command) => {
      const headers = correlation === null ? [] : [['kafka_correlationId', Buffer.from(correlation)] as const];
      const partition = Number(command.header('kafka_replyPartition'));
      await sluice.transport.send([{ topic: replyTopic, partition, key: null, value: Buffer.from(value), headers }]);
      await command.reply({ value: '{"text":"true"}' });
    });
    expect(operation).toMatchObject({ state: 'succeeded', result: { text: 'true' } });
    const letter = await findLetter(value);
    expect(letter.header('sluice-dead-letter-code')).toBe('REPLY_INVALID');
    expect(letter.header('sluice-dead-letter-reason')).toContain('kafka_correlationId');
    expect(letter.header('kafka_correlationId')).toBe(correlation);
    expectOrigin(letter);
  });

  it('is no dead letter where it can be read', { timeout }, async () => {
    const done = await ask('good', (command) => command.reply({ value: '{"text":"good"}' }));
    expect(done).toMatchObject({ state: 'succeeded' });
    const error = { value: '{"message":"sold out"}', headers: { 'sluice-kind': 'error', 'sluice-code': 'ABORTED' } };
    expect(await ask('error', (command) => command.reply(error))).toMatchObject({ state: 'failed' });
    // One more that is, after them on the same partition.
    await ask('last', (command) => command.reply({ value: '[]', headers: { 'sluice-kind': 'last' } }));
    await findLetter('[]');
    const texts = letters.map(({ text }) => text);
    expect(texts).not.toContain('{"text":"good"}');
    expect(texts).not.toContain(error.value);
  });
});
