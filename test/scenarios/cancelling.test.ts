import { type CommandContext, silentLogger } from '@sluice/worker';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import type { Store } from '../../src/store/store.ts';
import { Doors } from '../support/doors.ts';
import { describeOnBothStacks, startTestGateway, type TestGateway } from '../support/gateway.ts';
import { newOperationId } from '../support/operations.ts';
import { aNewOperation } from '../support/store-parts.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 240_000 });

const POLL = { timeout: 60_000, interval: 20 };
const LONG = { wait: '30s', max_wait: '30s' };

interface Request {
  readonly key?: string;
  readonly text: string;
}

describeOnBothStacks('cancelling', (stack) => {
  const doors = new Doors();
  /** Operation ids by the text of their request, from the first moment of their handler on. */
  const started = new Map<string, string>();
  /** Texts of those whose handler was told of a cancellation. */
  const aborted = new Set<string>();
  /** Operation ids that the worker passed over. */
  const skipped = new Set<string>();
  let sluice: TestGateway;
  let store: Store;

  const answer = async ({ text }: Request, { operationId, signal }: CommandContext) => {
    started.set(text, operationId ?? '');
    // A deadline fires it too.
    signal.addEventListener('abort', () => signal.reason.code === 'CANCELLED' && aborted.add(text));
    await doors.pass(text);
    return { text: `${text} done` };
  };

  beforeAll(async () => {
    sluice = await startTestGateway({
      stack,
      policies: { Do: LONG, Keep: LONG },
      parts: {
        wrapStore: (opened) => {
          store = opened;
          return opened;
        },
      },
    });
    const info = (fields: { readonly operationId?: string }, message: string) => {
      if (message === 'cancelled command passed over') skipped.add(fields.operationId ?? '');
    };
    const logger = { ...silentLogger, info };
    await sluice.startWorker({ Do: answer, Keep: answer }, { logger });
  });
  afterAll(async () => {
    doors.openAll();
    await sluice?.close();
  });

  const promise = async (text: string, key?: string): Promise<string> => {
    const request = key === undefined ? { text } : { text, key };
    const { status, text: shown, body } = await sluice.rest.post('/v1/do', request, { prefer: 'respond-async' });
    expect(status, shown).toBe(202);
    return body.id;
  };
  const run = async (text: string): Promise<string> => {
    const id = await promise(text);
    await expect.poll(() => started.get(text), POLL).toBe(id);
    return id;
  };
  const cancel = (id: string) => sluice.rest.call('POST', `/operations/${id}:cancel`);
  const readEvents = async (id: string) => (await sluice.rest.get(`/operations/${id}/events`)).body.events;
  const typesOf = async (id: string) =>
    (await readEvents(id)).map(({ type, late }: { type: string; late: boolean }) => (late ? `late ${type}` : type));

  it('ends a running operation, and aborts its handler; the result that comes later is late and changes nothing', async () => {
    const id = await run('running');
    const cancelled = await cancel(id);
    expect(cancelled.status, cancelled.text).toBe(200);
    const outcome = { id, state: 'cancelled', done: true, error: { code: 'OPERATION_CANCELLED', delivery: 'unknown' } };
    expect(cancelled.body).toMatchObject(outcome);
    expect(cancelled.body.links.cancel).toBeUndefined();
    await expect.poll(() => aborted.has('running'), POLL).toBe(true);
    doors.open('running');
    await expect.poll(async () => (await typesOf(id)).at(-1), POLL).toBe('late succeeded');
    expect((await sluice.rest.get(`/operations/${id}`)).body).toMatchObject(outcome);
    const replayed = await sluice.rest.get(`/operations/${id}/result`);
    expect(replayed.body).toMatchObject({ code: 'OPERATION_CANCELLED', delivery: 'unknown' });
  });

  it('of what is done returns it as it is: the result that won stands', async () => {
    doors.open('won');
    const id = await promise('won');
    const before = await sluice.rest.follow(id);
    const after = await cancel(id);
    expect(after.status).toBe(200);
    expect(after.body).toEqual(before.body);
    expect(after.body).toMatchObject({ state: 'succeeded', result: { text: 'won done' } });
    const overGrpc = await sluice.grpc.call('google.longrunning.Operations/CancelOperation', {
      name: `operations/${id}`,
    });
    expect(overGrpc.code, overGrpc.message).toBe('OK');
    expect((await sluice.rest.get(`/operations/${id}`)).headers.get('etag')).toBe(before.headers.get('etag'));
  });

  it('that races with results says each time which of them won', async () => {
    const texts = Array.from({ length: 10 }, (_, index) => `race ${index}`);
    const ids = await Promise.all(texts.map(run));
    const answers = await Promise.all(
      ids.map((id, index) => {
        doors.open(texts[index]!);
        return cancel(id);
      }),
    );
    for (const [index, answer] of answers.entries()) {
      expect(answer.status, answer.text).toBe(200);
      expect(answer.body.state).toMatch(/^(?:cancelled|succeeded)$/);
      const { result, error, state } = (await sluice.rest.get(`/operations/${ids[index]}`)).body;
      expect([state, result, error?.code]).toEqual([answer.body.state, answer.body.result, answer.body.error?.code]);
    }
  });

  it('twice is cancelling once', async () => {
    const id = await run('twice');
    const [first, second] = await Promise.all([cancel(id), cancel(id)]);
    const third = await cancel(id);
    expect([first, second, third].map(({ body }) => body.state)).toEqual(['cancelled', 'cancelled', 'cancelled']);
    const types = await typesOf(id);
    expect(types.filter((type: string) => type === 'cancelled')).toHaveLength(1);
  });

  it('over gRPC does the same', async () => {
    const id = await run('over gRPC');
    const name = `operations/${id}`;
    const answered = await sluice.grpc.call('google.longrunning.Operations/CancelOperation', { name });
    expect(answered.code, answered.message).toBe('OK');
    const { value } = await sluice.grpc.call('google.longrunning.Operations/GetOperation', { name });
    expect(value).toMatchObject({ name, done: true, error: { code: 1 } });
    await expect.poll(() => aborted.has('over gRPC'), POLL).toBe(true);
  });

  it('answers who waits for the operation', async () => {
    const waiting = sluice.rest.post('/v1/keep', { text: 'waited for' });
    const overGrpc = sluice.grpc.call('Keep', { text: 'waited for too' });
    for (const text of ['waited for', 'waited for too']) {
      await expect.poll(() => started.get(text), POLL).toBeDefined();
      await cancel(started.get(text)!);
    }
    expect((await waiting).body).toMatchObject({ code: 'OPERATION_CANCELLED', delivery: 'unknown' });
    expect((await overGrpc).code).toBe('CANCELLED');
  });

  it('of an unknown id is 404, NOT_FOUND, and of somebody else’s too', async () => {
    const theirs = aNewOperation({ principal: 'alice', state: 'dispatched', published: { partition: 0, offset: 0n } });
    await store.insert([theirs]);
    for (const id of [newOperationId(), 'nonsense', theirs.id]) {
      const refused = await cancel(id);
      expect(refused.status, refused.text).toBe(404);
      expect(refused.body.code).toBe('OPERATION_NOT_FOUND');
      const name = `operations/${id}`;
      const overGrpc = await sluice.grpc.call('google.longrunning.Operations/CancelOperation', { name });
      expect(overGrpc.code).toBe('NOT_FOUND');
    }
    expect((await store.read([theirs.id]))[0]?.state).toBe('dispatched');
  });

  it('lets the worker pass over a command that waits for its turn', async () => {
    const first = await promise('first in line', 'line');
    await expect.poll(() => started.get('first in line'), POLL).toBe(first);
    const second = await promise('second in line', 'line');
    const third = await promise('third in line', 'line');
    await cancel(second);
    await expect.poll(() => skipped.has(second), POLL).toBe(true);
    for (const text of ['first in line', 'second in line', 'third in line']) doors.open(text);
    expect((await sluice.rest.follow(third)).body.state).toBe('succeeded');
    expect((await sluice.rest.get(`/operations/${first}`)).body.state).toBe('succeeded');
    expect(started.has('second in line')).toBe(false);
    expect(await typesOf(second)).not.toContain('late succeeded');
  });

  it('happens by itself where the caller of an unrecorded call goes away', async () => {
    const leaving = new AbortController();
    const { signal } = leaving;
    const overRest = sluice.rest.call('POST', '/v1/do', { body: { text: 'left' }, signal }).catch(() => null);
    const overGrpc = sluice.grpc.call('Do', { text: 'left too' }, { signal });
    for (const text of ['left', 'left too']) await expect.poll(() => started.get(text), POLL).toBeDefined();
    expect([...aborted].filter((text) => text.startsWith('left'))).toEqual([]);
    leaving.abort();
    expect(await overRest).toBeNull();
    expect((await overGrpc).code).toBe('CANCELLED');
    for (const text of ['left', 'left too']) await expect.poll(() => aborted.has(text), POLL).toBe(true);
    // A call that was never recorded leaves nothing behind.
    for (const text of ['left', 'left too']) {
      expect((await sluice.rest.get(`/operations/${started.get(text)}`)).status).toBe(404);
    }
  });

  it('does not happen by itself where the call is recorded', async () => {
    const leaving = new AbortController();
    const { signal } = leaving;
    const overRest = sluice.rest.call('POST', '/v1/keep', { body: { text: 'kept' }, signal }).catch(() => null);
    const overGrpc = sluice.grpc.call('Keep', { text: 'kept too' }, { signal });
    for (const text of ['kept', 'kept too']) await expect.poll(() => started.get(text), POLL).toBeDefined();
    await expect.poll(() => sluice.readMetric('sluice_waiters'), POLL).toBe(2);
    leaving.abort();
    await Promise.all([overRest, overGrpc]);
    await expect.poll(() => sluice.readMetric('sluice_waiters'), POLL).toBe(0);
    for (const text of ['kept', 'kept too']) {
      doors.open(text);
      const { body } = await sluice.rest.follow(started.get(text)!);
      expect(body).toMatchObject({ state: 'succeeded', result: { text: `${text} done` } });
      expect(aborted.has(text)).toBe(false);
    }
  });
});
