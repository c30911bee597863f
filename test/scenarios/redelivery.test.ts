import type { Subscription } from '@sluice/worker';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { describeOnBothStacks, QUICK, startTestGateway, type TestGateway } from '../support/gateway.ts';
import { type RawCommand, startRawWorker } from '../support/raw-worker.ts';

const ASYNC = { prefer: 'respond-async' };
const SOON = { timeout: 40_000 };
const RESULT = JSON.stringify({ text: 'at last' });
const timeout = 90_000;

describeOnBothStacks('a command that its worker is silent on', (stack) => {
  /** By operation, in the order in which the worker saw them. */
  const attempts = new Map<string, RawCommand[]>();
  let sluice: TestGateway;

  beforeAll(async () => {
    sluice = await startTestGateway({
      stack,
      config: QUICK,
      policies: {
        Keep: { idempotent: true, redeliver_after: '300ms', max_attempts: 5 },
        Make: { idempotent: true, redeliver_after: '200ms', max_attempts: 2, timeout: '4s' },
        Read: { idempotent: true, redeliver_after: '3s', max_attempts: 3 },
      },
    });
    const topics = ['Keep', 'Make', 'Read', 'Do'].map((method) => sluice.topicOf(method));
    await startRawWorker(sluice.transport, { topics, group: `${sluice.place.namespace}.silent` }, (command) => {
      const id = command.header('ce_id') as string;
      attempts.set(id, [...attemptsOf(id), command]);
    });
  });
  afterAll(() => sluice.close());

  const attemptsOf = (id: string) => attempts.get(id) ?? [];
  const reached = (id: string, count: number) => expect.poll(() => attemptsOf(id).length, SOON).toBe(count);

  it('is sent again as the next attempt of the same operation, whose answer counts', { timeout }, async () => {
    const { body } = await sluice.rest.post('/v1/keep', { text: 'again' }, ASYNC);
    await reached(body.id, 2);
    const [first, second] = attemptsOf(body.id) as [RawCommand, RawCommand];
    expect([first, second].map((command) => command.header('sluice-attempt'))).toEqual(['1', '2']);
    expect(second.text).toBe(first.text);
    for (const name of ['ce_id', 'ce_type', 'ce_expirytime', 'kafka_correlationId', 'kafka_replyTopic']) {
      expect(second.header(name), name).toBe(first.header(name));
    }
    await second.reply({ value: RESULT });
    const done = await sluice.rest.follow(body.id);
    expect(done.body).toMatchObject({ state: 'succeeded', result: { text: 'at last' } });
    expect(done.body.attempt).toBeGreaterThanOrEqual(2);
    const history = await sluice.rest.get(`/operations/${body.id}/events`);
    expect(history.text).toContain('redriven');
  });

  it('takes the answer to an earlier attempt all the same', { timeout }, async () => {
    const { body } = await sluice.rest.post('/v1/keep', {}, ASYNC);
    await reached(body.id, 2);
    await attemptsOf(body.id)[0]!.reply({ value: RESULT });
    expect((await sluice.rest.follow(body.id)).body).toMatchObject({ state: 'succeeded', result: { text: 'at last' } });
  });

  it('is sent no more often than its policy allows, and then expires', { timeout }, async () => {
    const { body } = await sluice.rest.post('/v1/make', {}, ASYNC);
    const ended = await sluice.rest.follow(body.id);
    expect(ended.body).toMatchObject({ state: 'expired', attempt: 2, error: { delivery: 'unknown' } });
    expect(attemptsOf(body.id).map((command) => command.header('sluice-attempt'))).toEqual(['1', '2']);
  });

  it('is sent once where the policy does not say that twice does no harm', { timeout }, async () => {
    const { body } = await sluice.rest.post('/v1/do', {}, ASYNC);
    const other = await sluice.rest.post('/v1/keep', {}, ASYNC);
    await reached(other.body.id, 3);
    expect(attemptsOf(body.id).length).toBe(1);
    await attemptsOf(body.id)[0]!.reply({ value: RESULT });
    expect((await sluice.rest.follow(body.id)).body).toMatchObject({ state: 'succeeded', attempt: 1 });
  });

  it('is not sent again while its worker gives signs of life', { timeout }, async () => {
    const silent = await sluice.rest.call('GET', '/v1/things/silent', { headers: ASYNC });
    const lively = await sluice.rest.call('GET', '/v1/things/lively', { headers: ASYNC });
    await reached(lively.body.id, 1);
    const [command] = attemptsOf(lively.body.id) as [RawCommand];
    let signs = 0;
    const oneMore = async () => {
      const kind = signs % 2 === 0 ? 'accepted' : 'progress';
      signs += 1;
      await command.reply({ value: '{"percent":1}', headers: { 'sluice-kind': kind } });
      return attemptsOf(silent.body.id).length;
    };
    // The other one is made earlier and sent again first: by then this one would be.
    await expect.poll(oneMore, { ...SOON, interval: 300 }).toBe(2);
    const status = await sluice.rest.get(`/operations/${lively.body.id}`);
    expect(status.body).toMatchObject({ state: 'running', attempt: 1 });
    expect(attemptsOf(lively.body.id).length).toBe(1);
    await command.reply({ value: RESULT });
    expect((await sluice.rest.follow(lively.body.id)).body).toMatchObject({ state: 'succeeded', attempt: 1 });
  });

  it('is sent again by hand, with a new deadline; and not once it is done', { timeout }, async () => {
    const { body } = await sluice.rest.post('/v1/do', {}, ASYNC);
    await reached(body.id, 1);
    const answer = await sluice.rest.post(`/operations/${body.id}:redrive`, {});
    expect(answer.status, answer.text).toBe(200);
    expect(answer.body).toMatchObject({ id: body.id, attempt: 2, done: false });
    expect(Date.parse(answer.body.deadline)).toBeGreaterThan(Date.parse(body.deadline));
    await reached(body.id, 2);
    const [, second] = attemptsOf(body.id) as [RawCommand, RawCommand];
    expect(second.header('sluice-attempt')).toBe('2');
    expect(Date.parse(second.header('ce_expirytime') ?? '')).toBe(Date.parse(answer.body.deadline));
    await second.reply({ value: RESULT });
    expect((await sluice.rest.follow(body.id)).body).toMatchObject({ state: 'succeeded', attempt: 2 });
    const refused = await sluice.rest.post(`/operations/${body.id}:redrive`, {});
    expect(refused.status, refused.text).toBe(409);
    expect(refused.body).toMatchObject({ code: 'OPERATION_DONE' });
    expect(attemptsOf(body.id).length).toBe(2);
  });
});

describeOnBothStacks('a command whose policy names the group of its workers', (stack) => {
  const seen: { readonly id: string; readonly attempt: string; readonly partition: number; readonly offset: bigint }[] =
    [];
  let sluice: TestGateway;
  let workers: Subscription;

  beforeAll(async () => {
    const policy = { idempotent: true, redeliver_after: '300ms', max_attempts: 8 };
    const policies = { Keep: { ...policy, worker_group: 'slow' }, Make: policy };
    sluice = await startTestGateway({ stack, config: QUICK, policies });
    const { transport, place } = sluice;
    await transport.ensureTopics?.([sluice.topicOf('Keep'), sluice.topicOf('Make')]);
    workers = await transport.subscribe({
      topics: [sluice.topicOf('Keep'), sluice.topicOf('Make')],
      group: `${place.namespace}.slow`,
      onRecords: (records) => {
        for (const { partition, offset, headers } of records) {
          const header = (name: string) => Buffer.from(headers.find((each) => each[0] === name)![1]).toString();
          seen.push({ id: header('ce_id'), attempt: header('sluice-attempt'), partition, offset });
        }
      },
    });
  });
  afterAll(async () => {
    await workers.close();
    await sluice.close();
  });

  const seenOf = (operationId: string) => seen.filter(({ id }) => id === operationId);

  it('is not sent again before the group has passed it', { timeout }, async () => {
    const waiting = (await sluice.rest.post('/v1/keep', {}, ASYNC)).body.id;
    const other = (await sluice.rest.post('/v1/make', {}, ASYNC)).body.id;
    await expect.poll(() => seenOf(waiting).length, SOON).toBe(1);
    // One without a group, which is made later, is sent for the third time: by then this one would be, too.
    await expect.poll(() => seenOf(other).length, SOON).toBe(3);
    expect(seenOf(waiting).map(({ attempt }) => attempt)).toEqual(['1']);
    const [{ partition, offset }] = seenOf(waiting) as [(typeof seen)[number]];
    await workers.commit([{ topic: sluice.topicOf('Keep'), partition, offset: offset + 1n }]);
    await expect.poll(() => seenOf(waiting).map(({ attempt }) => attempt), SOON).toEqual(['1', '2']);
  });
});
