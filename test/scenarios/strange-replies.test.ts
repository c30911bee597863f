import { afterAll, beforeAll, expect, it } from 'vitest';
import { describeOnBothStacks, startTestGateway, type TestGateway } from '../support/gateway.ts';
import { newOperationId } from '../support/operations.ts';
import { type RawCommand, startRawWorker } from '../support/raw-worker.ts';

type Answering = (command: RawCommand) => Promise<unknown>;

const GOOD = JSON.stringify({ text: 'good' });

describeOnBothStacks('a reply that is not as it should be', (stack) => {
  /** By key of the command. */
  const answering = new Map<string, Answering>();
  const taken = new Map<string, RawCommand>();
  let sluice: TestGateway;

  beforeAll(async () => {
    sluice = await startTestGateway({ stack, config: { operations: { maxResultBytes: 10_000 } } });
    const options = { topics: [sluice.topicOf('Do')], group: `${sluice.place.namespace}.raw` };
    await startRawWorker(sluice.transport, options, (command) => {
      const { key } = JSON.parse(command.text);
      taken.set(key, command);
      void (answering.get(key) ?? ((each) => each.reply({ value: GOOD })))(command);
    });
  });
  afterAll(async () => {
    // Whatever came, the gateway is well.
    expect(sluice.gateway.readiness()).toEqual({ ready: true, reasons: [], degraded: [] });
    expect((await sluice.rest.post('/v1/do', { key: 'after all' })).status).toBe(200);
    await sluice.close();
  });

  const ask = (key: string, how: Answering, headers: Record<string, string> = {}) => {
    answering.set(key, how);
    return sluice.rest.post('/v1/do', { key }, headers);
  };

  it.each<[string, Answering]>([
    ['is no JSON', (command) => command.reply({ value: '{"text":' })],
    ['has a field of another type', (command) => command.reply({ value: '{"text":{"a":1}}' })],
    ['is no object', (command) => command.reply({ value: '[1,2]' })],
    ['is not UTF-8', (command) => command.reply({ value: new Uint8Array([0x22, 0xff, 0xfe, 0x22]) })],
    [
      'is no protobuf',
      (command) =>
        command.reply({ value: new Uint8Array([0x0a, 0xff]), headers: { 'content-type': 'application/protobuf' } }),
    ],
    ['has a kind that is none', (command) => command.reply({ value: GOOD, headers: { 'sluice-kind': 'surprise' } })],
  ])('%s: 502 REPLY_INVALID, delivery unknown', async (what, how) => {
    const answer = await ask(what, how);
    expect(answer.status, answer.text).toBe(502);
    expect(answer.body).toMatchObject({ code: 'REPLY_INVALID', delivery: 'unknown' });
    const grpc = await sluice.grpc.call('Do', { key: what });
    expect(grpc.code).toBe('INTERNAL');
    expect(grpc.details?.info).toMatchObject({ reason: 'REPLY_INVALID', metadata: { delivery: 'unknown' } });
    const { body } = await ask(what, how, { prefer: 'respond-async' });
    const status = await sluice.rest.follow(body.id);
    expect(status.body).toMatchObject({ state: 'failed', error: { code: 'REPLY_INVALID', delivery: 'unknown' } });
  });

  it('too large: 502 RESULT_TOO_LARGE', async () => {
    const answer = await ask('large', (command) =>
      command.reply({ value: JSON.stringify({ text: 'x'.repeat(20_000) }) }),
    );
    expect(answer.status).toBe(502);
    expect(answer.body).toMatchObject({ code: 'RESULT_TOO_LARGE', delivery: 'unknown' });
  });

  it('with unknown fields is read without them', async () => {
    const answer = await ask('newer', (command) => command.reply({ value: '{"text":"a","news":{"b":1}}' }));
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual({ text: 'a' });
  });

  it('without a value is an empty result', async () => {
    const answer = await ask('empty', (command) => command.reply({ value: null }));
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual({});
  });

  it('of nobody is passed over, and the true one counts', async () => {
    const [id, partition, mark] = [newOperationId(), 0, 'r'];
    const foreign = ['', 'not one of ours', `${id}.${partition}.${mark}`, `${id}.${partition}.u0123456789abcdef`, '{}'];
    const answer = await ask('foreign', async (command) => {
      for (const correlation of foreign) {
        await command.reply({ value: '{"text":"bad"}', headers: { kafka_correlationId: correlation } });
      }
      await command.reply({ value: GOOD });
    });
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual({ text: 'good' });
  });

  it('twice is once: the first stands', async () => {
    const twice: Answering = async (command) => {
      await command.reply({ value: GOOD });
      await command.reply({ value: '{"text":"second"}' });
      await command.reply({ value: '{"message":"third"}', headers: { 'sluice-kind': 'error' } });
    };
    expect((await ask('twice', twice)).body).toEqual({ text: 'good' });
    const { body } = await ask('twice', twice, { prefer: 'respond-async' });
    expect((await sluice.rest.follow(body.id)).body.result).toEqual({ text: 'good' });
    await ask('after twice', (command) => command.reply({ value: GOOD }));
    const later = await sluice.rest.get(`/operations/${body.id}`);
    expect(later.body).toMatchObject({ state: 'succeeded', result: { text: 'good' } });
  });

  it('after the end of the wait settles the operation', async () => {
    const held = Promise.withResolvers<void>();
    const { body } = await ask(
      'late',
      async (command) => {
        await held.promise;
        await command.reply({ value: GOOD });
      },
      { prefer: 'wait=0' },
    );
    held.resolve();
    expect((await sluice.rest.follow(body.id)).body).toMatchObject({ state: 'succeeded', result: { text: 'good' } });
  });

  it('after a wait that failed is passed over', async () => {
    const command = taken.get('twice')!;
    await command.reply({ value: GOOD });
    expect((await ask('next', (each) => each.reply({ value: GOOD }))).status).toBe(200);
  });
});
