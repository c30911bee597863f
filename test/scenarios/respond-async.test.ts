import { afterAll, beforeAll, expect, it } from 'vitest';
import { Doors } from '../support/doors.ts';
import { describeOnBothStacks, startTestGateway, type TestGateway } from '../support/gateway.ts';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

describeOnBothStacks('a call that is not waited for', (stack) => {
  const doors = new Doors();
  let sluice: TestGateway;

  beforeAll(async () => {
    const answer = async (request: { key?: string; text?: string }) => {
      if (request.key !== undefined) await doors.pass(request.key);
      return { text: `${request.text} answered`, large: '42' };
    };
    sluice = await startTestGateway({
      stack,
      handlers: {
        Do: async (request, context) => {
          context.setHeader('x-shelf', 'B 4');
          return answer(request);
        },
        Make: answer,
      },
    });
  });
  afterAll(async () => {
    doors.openAll();
    await sluice.close();
  });

  it('is answered 202 with links to its operation before any worker has run', async () => {
    const answer = await sluice.rest.post('/v1/do', { key: 'links' }, { prefer: 'respond-async' });
    expect(answer.status, answer.text).toBe(202);
    const { id } = answer.body;
    expect(id).toMatch(UUID);
    expect(answer.headers.get('location')).toBe(`/operations/${id}`);
    expect(answer.headers.get('operation-location')).toBe(`${sluice.rest.url}/operations/${id}`);
    expect(answer.headers.get('retry-after')).toMatch(/^[1-9][0-9]*$/);
    expect(answer.headers.get('preference-applied')).toBe('respond-async');
    expect(answer.headers.get('vary')).toBe('Prefer');
    expect(answer.body).toMatchObject({ command: 'calls.v1.Calls/Do', state: 'accepted', done: false, attempt: 1 });
    const pending = await sluice.rest.get(`/operations/${id}/result`);
    expect(pending.status).toBe(202);
    expect(pending.headers.get('location')).toBe(`/operations/${id}`);
    doors.open('links');
    expect((await sluice.rest.follow(id)).body.state).toBe('succeeded');
  });

  it('ends in the result that the synchronous call has', async () => {
    const request = { text: 'same' };
    const direct = await sluice.rest.post('/v1/do', request);
    const { body } = await sluice.rest.post('/v1/do', request, { prefer: 'respond-async' });
    const status = await sluice.rest.follow(body.id);
    expect(status.body).toMatchObject({ id: body.id, state: 'succeeded', done: true, result: direct.body });
    expect(status.body.error).toBeUndefined();
    const replayed = await sluice.rest.get(`/operations/${body.id}/result`);
    expect(replayed.status).toBe(direct.status);
    expect(replayed.body).toEqual(direct.body);
    expect(replayed.headers.get('x-shelf')).toBe('B 4');
    expect(replayed.headers.get('content-type')).toBe(direct.headers.get('content-type'));
  });

  it('replays the success status of the synchronous call', async () => {
    const { body } = await sluice.rest.post('/v1/make', {}, { prefer: 'respond-async' });
    await sluice.rest.follow(body.id);
    expect((await sluice.rest.get(`/operations/${body.id}/result`)).status).toBe(201);
  });

  it('is waited for after all where a wait is asked for beside it', async () => {
    const answer = await sluice.rest.post('/v1/do', { text: 'both' }, { prefer: 'respond-async, wait=20' });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('preference-applied')).toBe('wait=20');
  });

  it('over gRPC ends at its deadline, which names the operation, and WaitOperation has the result', async () => {
    const answer = await sluice.grpc.call('Do', { key: 'deadline', text: 'grpc' }, { timeoutMs: 4_000 });
    expect(answer.code, answer.message).toBe('DEADLINE_EXCEEDED');
    const name = answer.operation;
    expect(name).toMatch(/^operations\/.{36}$/);
    expect(answer.announced).toBe(name);
    expect(answer.details?.info).toMatchObject({
      domain: 'sluice',
      reason: 'WAIT_EXPIRED',
      metadata: { delivery: 'unknown', operation: name },
    });
    const pending = await sluice.grpc.call('google.longrunning.Operations/GetOperation', { name });
    expect(pending.value).toMatchObject({ name });
    expect(pending.value.response).toBeUndefined();
    doors.open('deadline');
    const done = await sluice.grpc.waitOperation(name!);
    expect(done.code, done.message).toBe('OK');
    expect(done.value).toMatchObject({ name, done: true });
    expect(sluice.grpc.readReply(done.value.response)).toEqual({ text: 'grpc answered', large: '42' });
    const id = name!.slice('operations/'.length);
    expect((await sluice.rest.get(`/operations/${id}/result`)).body).toEqual({ text: 'grpc answered', large: '42' });
  });
});
