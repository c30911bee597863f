import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { Doors } from '../support/doors.ts';
import { describeOnBothStacks, findPlace, startTestGateway, type TestGateway } from '../support/gateway.ts';
import { essenceOf, handlersBehind, keyed, POLICIES } from './support/keyed-calls.ts';
import { PublishGate } from './support/publish-gate.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 240_000 });

const POLL = { timeout: 60_000, interval: 20 };

describeOnBothStacks('an Idempotency-Key after a restart', (stack) => {
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-keys-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('brings the same answer, of a success and of an error, without a worker', async () => {
    const place = await findPlace(stack);
    const options = { stack, place, config: { store: { dataDir: folder } }, policies: POLICIES };
    const ask = async (sluice: TestGateway) => ({
      success: await sluice.rest.post('/v1/do', { text: 'kept' }, keyed('kept')),
      error: await sluice.rest.post('/v1/do', { text: 'refused' }, keyed('refused')),
      overGrpc: await sluice.grpc.call('Make', { text: 'made' }, { metadata: { 'idempotency-key': 'made' } }),
    });
    const first = await startTestGateway({ ...options, handlers: handlersBehind(new Doors()) });
    const before = await ask(first).finally(() => first.close());
    const second = await startTestGateway(options);
    const after = await ask(second).finally(() => second.close());
    expect([before.success.status, before.error.status, before.overGrpc.code]).toEqual([200, 404, 'OK']);
    expect(essenceOf(after.success)).toEqual(essenceOf(before.success));
    expect(after.error.status).toBe(404);
    expect(after.error.body.detail).toBe(before.error.body.detail);
    expect(after.error.body.delivery).toBe('failed');
    expect(after.overGrpc.value).toEqual(before.overGrpc.value);
    expect(after.overGrpc.announced).toBe(before.overGrpc.announced);
  });
});

describeOnBothStacks('an Idempotency-Key while commands cannot be published', (stack) => {
  const gate = new PublishGate();
  let sluice: TestGateway;

  beforeAll(async () => {
    sluice = await startTestGateway({
      stack,
      config: { operations: { maxUnpublished: 1 } },
      policies: { ...POLICIES, Keep: { wait: '1s', max_wait: '1s', timeout: '1s' } },
      handlers: handlersBehind(new Doors()),
      parts: { wrapChannel: gate.wrap },
    });
  });
  beforeEach(async () => {
    gate.open();
    await expect.poll(() => sluice.readMetric('sluice_unpublished_operations'), POLL).toBe(0);
  });
  afterAll(async () => {
    gate.open();
    await sluice?.close();
  });

  const post = (text: string) => sluice.rest.post('/v1/do', { text }, keyed(text, 'respond-async'));

  it('is answered at the bound at which a new call is refused', async () => {
    const done = await sluice.rest.post('/v1/do', { text: 'done' }, keyed('done'));
    expect(done.status, done.text).toBe(200);
    await expect.poll(() => sluice.readMetric('sluice_unpublished_operations'), POLL).toBe(0);
    gate.hold();
    const first = await post('waits');
    expect(first.status, first.text).toBe(202);
    const refused = await post('too much');
    expect(refused.status, refused.text).toBe(503);
    expect(refused.body).toMatchObject({ code: 'OVERLOADED', delivery: 'not_sent' });
    expect(refused.body.detail).toMatch(/retry with the same key only/);
    expect(refused.headers.get('retry-after')).toMatch(/^[1-9]/);
    const again = await post('waits');
    expect([again.status, again.body.id]).toEqual([202, first.body.id]);
    const metadata = { 'idempotency-key': 'waits' };
    const overGrpc = await sluice.grpc.call('Do', { text: 'waits' }, { metadata, timeoutMs: 4_000 });
    expect([overGrpc.code, overGrpc.operation]).toEqual(['DEADLINE_EXCEEDED', `operations/${first.body.id}`]);
    const replayed = await sluice.rest.post('/v1/do', { text: 'done' }, keyed('done'));
    expect(essenceOf(replayed)).toEqual(essenceOf(done));
    gate.open();
    expect((await sluice.rest.follow(first.body.id)).body.state).toBe('succeeded');
    // The refused one had no operation, so its key is free.
    await expect.poll(async () => (await post('too much')).status, POLL).not.toBe(503);
  });

  it('is free again where its command was cancelled and certainly never sent', async () => {
    gate.refuse();
    const first = await post('taken back');
    expect(first.status, first.text).toBe(202);
    const cancelled = await sluice.rest.call('POST', `/operations/${first.body.id}:cancel`);
    expect(cancelled.body).toMatchObject({ state: 'cancelled', error: { delivery: 'not_sent' } });
    gate.open();
    await expectNewTry('taken back', first.body.id);
  });

  it('is free again where its command expired and was certainly never sent', async () => {
    gate.refuse();
    const first = await sluice.rest.post('/v1/keep', { text: 'late' }, keyed('late', 'respond-async'));
    expect(first.status, first.text).toBe(202);
    const { body } = await sluice.rest.follow(first.body.id);
    expect(body).toMatchObject({ state: 'expired', error: { code: 'OPERATION_EXPIRED', delivery: 'not_sent' } });
    const second = await sluice.rest.post('/v1/keep', { text: 'late' }, keyed('late', 'respond-async'));
    expect(second.status).toBe(202);
    expect(second.body.id).not.toBe(first.body.id);
    gate.open();
  });

  it('stays taken where the command may have been sent: the answer is that of the cancelled operation', async () => {
    gate.hold();
    const first = await post('on its way');
    expect(first.status, first.text).toBe(202);
    const cancelled = await sluice.rest.call('POST', `/operations/${first.body.id}:cancel`);
    expect(cancelled.body).toMatchObject({ state: 'cancelled', error: { delivery: 'unknown' } });
    gate.open();
    const again = await post('on its way');
    expect(again.body).toMatchObject({ code: 'OPERATION_CANCELLED', delivery: 'unknown' });
    expect(again.body.operation.id).toBe(first.body.id);
  });

  async function expectNewTry(text: string, firstId: string): Promise<void> {
    // The bound is one: the first one's place may be given back a little later.
    await expect.poll(async () => (await post(text)).status, POLL).not.toBe(503);
    const second = await sluice.rest.post('/v1/do', { text }, keyed(text, 'wait=30'));
    const id = second.body.text ?? second.body.id;
    expect(id).not.toBe(firstId);
    expect((await sluice.rest.follow(id)).body.result).toEqual({ text: id });
    expect((await sluice.rest.get(`/operations/${firstId}`)).body.state).toBe('cancelled');
  }
});
