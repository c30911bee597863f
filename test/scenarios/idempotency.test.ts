import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { Doors } from '../support/doors.ts';
import { describeOnBothStacks, findPlace, startTestGateway, type TestGateway } from '../support/gateway.ts';
import { type SeenRecord, watchTopics } from './support/command-log.ts';
import { essenceOf, handlersBehind, keyed, POLICIES } from './support/keyed-calls.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 240_000 });

const POLL = { timeout: 60_000, interval: 20 };
function countCommands(seen: readonly SeenRecord[], text: string): number {
  return seen.filter((record) => record.text.includes(`"${text}"`)).length;
}

describeOnBothStacks('calls with one Idempotency-Key', (stack) => {
  const doors = new Doors();
  let a: TestGateway;
  /** On the servers another instance, else the same one. */
  let b: TestGateway;
  let commands: readonly SeenRecord[];

  beforeAll(async () => {
    const place = await findPlace(stack);
    // Links are then the same on both.
    const config = { http: { publicUrl: 'http://sluice.test' }, leases: { heartbeatMs: 500 } };
    const options = { stack, place, config, policies: POLICIES };
    a = await startTestGateway({ ...options, handlers: handlersBehind(doors) });
    b = stack === 'servers' ? await startTestGateway(options) : a;
    commands = await watchTopics(
      a.transport,
      ['Do', 'Make', 'Keep', 'TellKept'].map((method) => a.topicOf(method)),
    );
  });
  afterAll(async () => {
    doors.openAll();
    if (b !== a) await b?.close();
    await a?.close();
  });

  const waiters = async () => {
    const counts = await Promise.all([...new Set([a, b])].map((gateway) => gateway.readMetric('sluice_waiters')));
    return counts.reduce((sum, count) => sum + count, 0);
  };
  /** That no second command is on its way is seen by one that was sent later. */
  const expectOneCommand = async (text: string) => {
    for (const method of ['do', 'make', 'keep']) {
      const answer = await a.rest.post(`/v1/${method}`, { text: `after ${text}` }, keyed(`after ${text}`));
      expect(answer.status, answer.text).toBeLessThan(500);
    }
    await expect.poll(() => countCommands(commands, `after ${text}`), POLL).toBeGreaterThanOrEqual(3);
    expect(countCommands(commands, text)).toBe(1);
  };

  it('are answered alike, a success with its headers, over REST and gRPC, and one command is sent', async () => {
    const first = await a.rest.post('/v1/do', { text: 'alike' }, keyed('alike'));
    expect(first.status, first.text).toBe(200);
    expect(first.body.text).toMatch(/^[0-9a-f-]{36}$/);
    const second = await b.rest.post('/v1/do', { text: 'alike' }, keyed('alike'));
    expect(essenceOf(second)).toEqual(essenceOf(first));
    const third = await b.grpc.call('Do', { text: 'alike' }, { metadata: { 'idempotency-key': '"alike"' } });
    expect(third.code, third.message).toBe('OK');
    expect(third.value).toEqual(first.body);
    expect(third.operation).toBe(`operations/${first.body.text}`);
    await expectOneCommand('alike');
  });

  it('are answered alike with an error of the worker', async () => {
    const first = await a.rest.post('/v1/do', { text: 'refused' }, keyed('error'));
    expect(first.status, first.text).toBe(404);
    const second = await b.rest.post('/v1/do', { text: 'refused' }, keyed('error'));
    expect(second.status).toBe(404);
    const { requestId, instance, ...problem } = first.body;
    expect(second.body).toEqual({ ...problem, requestId: expect.any(String), instance: expect.any(String) });
    expect(problem).toMatchObject({ code: 'COMMAND_FAILED', delivery: 'failed' });
    const third = await a.grpc.call('Do', { text: 'refused' }, { metadata: { 'idempotency-key': 'error' } });
    expect(third.code).toBe('NOT_FOUND');
    expect(third.message).toBe(problem.detail);
    await expectOneCommand('refused');
  });

  it('keep the success status of their command', async () => {
    const first = await a.grpc.call('Make', { text: 'made' }, { metadata: { 'idempotency-key': 'made' } });
    expect(first.code, first.message).toBe('OK');
    const second = await b.rest.post('/v1/make', { text: 'made' }, keyed('made'));
    expect(second.status).toBe(201);
    expect(second.body).toEqual(first.value);
  });

  it('are the same request however the JSON is written, and whatever its headers', async () => {
    const first = await a.rest.post('/v1/do', { text: 'written', counts: { x: 1, y: 2 } }, keyed('written'));
    const headers = { ...keyed('written'), 'x-tenant': 'another' };
    const second = await b.rest.post('/v1/do', { counts: { y: '2', x: 1 }, small: 0, text: 'written' }, headers);
    expect(second.status, second.text).toBe(200);
    expect(second.body).toEqual(first.body);
  });

  it('with another payload are refused: 422, FAILED_PRECONDITION', async () => {
    const first = await a.rest.post('/v1/do', { text: 'payload' }, keyed('payload'));
    const refused = await b.rest.post('/v1/do', { text: 'another payload' }, keyed('payload'));
    expect(refused.status, refused.text).toBe(422);
    expect(refused.body).toMatchObject({ code: 'IDEMPOTENCY_KEY_REUSED', delivery: 'not_sent' });
    const metadata = { 'idempotency-key': 'payload' };
    const overGrpc = await a.grpc.call('Do', { text: 'another payload' }, { metadata });
    expect(overGrpc.code).toBe('FAILED_PRECONDITION');
    expect(overGrpc.details?.info).toMatchObject({ reason: 'IDEMPOTENCY_KEY_REUSED' });
    expect((await a.rest.post('/v1/do', { text: 'payload' }, keyed('payload'))).body).toEqual(first.body);
    await expectOneCommand('payload');
    expect(countCommands(commands, 'another payload')).toBe(0);
  });

  it('get the same 202 and id while their operation goes on', async () => {
    const request = { key: 'async', text: 'asynchronous' };
    const first = await a.rest.post('/v1/do', request, keyed('async', 'respond-async'));
    expect(first.status, first.text).toBe(202);
    const second = await b.rest.post('/v1/do', request, keyed('async', 'respond-async'));
    expect(essenceOf(second)).toEqual(essenceOf(first));
    expect(second.headers.get('preference-applied')).toBe('respond-async');
    // One that asks to wait does, and is then told the same.
    const third = await b.rest.post('/v1/do', request, keyed('async', 'wait=1'));
    expect(third.status).toBe(202);
    expect(third.body.id).toBe(first.body.id);
    const fourth = await a.grpc.call('Do', request, { metadata: { 'idempotency-key': 'async' }, timeoutMs: 4_000 });
    expect(fourth.code).toBe('DEADLINE_EXCEEDED');
    expect(fourth.operation).toBe(`operations/${first.body.id}`);
    doors.open('async');
    expect((await b.rest.follow(first.body.id)).body.state).toBe('succeeded');
    const last = await b.rest.post('/v1/do', request, keyed('async'));
    expect(last.status).toBe(200);
    expect(last.body).toEqual({ text: first.body.id });
    await expectOneCommand('asynchronous');
  });

  it('wait along with the first of them, on another instance too, and over gRPC', async () => {
    const request = { key: 'joined', text: 'joined' };
    const calls = [a.rest.post('/v1/do', request, keyed('joined', 'wait=30'))];
    await expect.poll(() => doors.isReached('joined'), POLL).toBe(true);
    calls.push(b.rest.post('/v1/do', request, keyed('joined')), a.rest.post('/v1/do', request, keyed('joined')));
    const overGrpc = b.grpc.call('Do', request, { metadata: { 'idempotency-key': 'joined' }, timeoutMs: 60_000 });
    await expect.poll(waiters, POLL).toBe(4);
    doors.open('joined');
    const [first, ...others] = await Promise.all(calls);
    expect(first!.status, first!.text).toBe(200);
    expect(others.map((answer) => [answer.status, answer.body])).toEqual(others.map(() => [200, first!.body]));
    expect((await overGrpc).value).toEqual(first!.body);
    await expectOneCommand('joined');
  });

  it('sent a hundred at once, over two instances, are one command and a hundred equal answers', async () => {
    const request = { key: 'hundred', text: 'hundred' };
    const calls = Array.from({ length: 100 }, (_, index) =>
      (index % 2 ? a : b).rest.post('/v1/do', request, keyed('hundred', 'wait=30')),
    );
    await expect.poll(waiters, POLL).toBe(100);
    doors.open('hundred');
    const answers = (await Promise.all(calls)).map(essenceOf);
    expect(answers[0]).toMatchObject({ status: 200, body: { text: expect.stringMatching(/^[0-9a-f-]{36}$/) } });
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
    await expectOneCommand('hundred');
  });

  it('sent a hundred at once over gRPC are one command too', async () => {
    const request = { key: 'hundred more', text: 'hundred more' };
    const options = { metadata: { 'idempotency-key': 'hundred more' }, timeoutMs: 60_000 };
    const calls = Array.from({ length: 100 }, (_, index) => (index % 2 ? a : b).grpc.call('Do', request, options));
    await expect.poll(waiters, POLL).toBe(100);
    doors.open('hundred more');
    const answers = (await Promise.all(calls)).map(({ code, value, announced }) => ({ code, value, announced }));
    const { value } = answers[0]!;
    const expected = { code: 'OK', value, announced: `operations/${value.text}` };
    expect(answers).toEqual(answers.map(() => expected));
    await expectOneCommand('hundred more');
  });

  it('sent a hundred at once without a wait get a hundred equal promises', async () => {
    const request = { key: 'promises', text: 'promises' };
    const calls = Array.from({ length: 100 }, (_, index) =>
      (index % 2 ? a : b).rest.post('/v1/do', request, keyed('promises', 'respond-async')),
    );
    const answers = (await Promise.all(calls)).map(essenceOf);
    expect(answers[0]).toMatchObject({ status: 202, body: { done: false } });
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
    doors.open('promises');
    const { body } = await a.rest.follow(answers[0]!.body.id);
    expect(body.result).toEqual({ text: body.id });
    await expectOneCommand('promises');
  });

  it('of two commands are two calls', async () => {
    const first = await a.rest.post('/v1/do', { text: 'scoped' }, keyed('scoped'));
    const second = await b.rest.post('/v1/keep', { text: 'scoped' }, keyed('scoped'));
    expect([first.status, second.status]).toEqual([200, 200]);
    expect(second.body.text).not.toBe(first.body.text);
    expect(countCommands(commands, 'scoped')).toBe(2);
  });

  it('of a one-way command are told once, and get the same operation', async () => {
    const first = await a.rest.post('/v1/tell-kept', { text: 'told' }, keyed('told'));
    expect(first.status, first.text).toBe(202);
    await a.rest.follow(first.body.id);
    const second = await b.grpc.call('TellKept', { text: 'told' }, { metadata: { 'idempotency-key': 'told' } });
    expect(second.code, second.message).toBe('OK');
    expect(second.operation).toBe(`operations/${first.body.id}`);
    await expectOneCommand('told');
  });

  it('are refused without one where the command requires it: 400, INVALID_ARGUMENT', async () => {
    const refused = await a.rest.post('/v1/make', { text: 'keyless' });
    expect(refused.status, refused.text).toBe(400);
    expect(refused.body).toMatchObject({ code: 'IDEMPOTENCY_KEY_REQUIRED', delivery: 'not_sent' });
    const overGrpc = await b.grpc.call('Make', { text: 'keyless' });
    expect(overGrpc.code).toBe('INVALID_ARGUMENT');
    expect(overGrpc.details?.info).toMatchObject({ reason: 'IDEMPOTENCY_KEY_REQUIRED' });
    expect(countCommands(commands, 'keyless')).toBe(0);
  });

  it.each([
    ['an open quote', '"open'],
    ['two joined keys', 'one, two'],
    ['no text', '""'],
    ['256 characters', 'k'.repeat(256)],
  ])('are refused where it cannot be read: %s', async (_, text) => {
    const refused = await a.rest.post('/v1/do', { text: 'malformed' }, { 'idempotency-key': text });
    expect(refused.status, refused.text).toBe(400);
    expect(refused.body).toMatchObject({ code: 'HEADER_INVALID', delivery: 'not_sent' });
    expect(refused.body.errors).toMatchObject([{ header: 'idempotency-key' }]);
    const overGrpc = await b.grpc.call('Do', { text: 'malformed' }, { metadata: { 'idempotency-key': text } });
    expect(overGrpc.code).toBe('INVALID_ARGUMENT');
    expect(countCommands(commands, 'malformed')).toBe(0);
  });
});
