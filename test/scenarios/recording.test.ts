import { afterAll, beforeAll, expect, it } from 'vitest';
import { Doors } from '../support/doors.ts';
import { describeOnBothStacks, startTestGateway, type TestGateway } from '../support/gateway.ts';

describeOnBothStacks('the policy says what is recorded', (stack) => {
  const doors = new Doors();
  /** Header names of the one-way commands that came, by key. */
  const told = new Map<string, readonly string[]>();
  let sluice: TestGateway;

  beforeAll(async () => {
    const hear = ({ key }: { key: string }, context: { headers: ReadonlyMap<string, string> }) => {
      told.set(key, [...context.headers.keys()]);
    };
    sluice = await startTestGateway({
      stack,
      handlers: {
        Keep: async ({ key }, context) => {
          if (key) await doors.pass(key);
          context.setHeader('x-shelf', 'C 5');
          return { text: 'kept' };
        },
        Tell: hear,
        TellKept: hear,
      },
    });
  });
  afterAll(async () => {
    doors.openAll();
    await sluice.close();
  });

  const list = async (command: string) => (await sluice.rest.get(`/operations?command=${command}`)).body.operations;

  it('ALWAYS: a call that is answered in time has a row all the same, with that answer', async () => {
    const answer = await sluice.rest.post('/v1/keep', {});
    expect(answer.status, answer.text).toBe(200);
    expect(answer.body).toEqual({ text: 'kept' });
    expect(answer.headers.get('x-shelf')).toBe('C 5');
    const [operation, ...others] = await list('calls.v1.Calls/Keep');
    expect(others).toEqual([]);
    expect(operation).toMatchObject({ state: 'succeeded', result: { text: 'kept' } });
    const replayed = await sluice.rest.get(`/operations/${operation.id}/result`);
    expect(replayed.headers.get('x-shelf')).toBe('C 5');
  });

  it('ALWAYS: over gRPC the name of the operation comes ahead of the answer', async () => {
    const answer = await sluice.grpc.call('Keep');
    expect(answer.code, answer.message).toBe('OK');
    expect(answer.value).toEqual({ text: 'kept' });
    const name = answer.announced;
    expect((await sluice.grpc.waitOperation(name!)).value).toMatchObject({ name, done: true });
  });

  it('ALWAYS: a wait that ends first names the row that is there', async () => {
    const answer = await sluice.rest.post('/v1/keep', { key: 'held' }, { prefer: 'wait=0' });
    expect(answer.status).toBe(202);
    doors.open('held');
    expect((await sluice.rest.follow(answer.body.id)).body).toMatchObject({ state: 'succeeded' });
  });

  it('NOTIFY: 202 without an operation, and the record asks for no reply', async () => {
    const answer = await sluice.rest.post('/v1/tell', { key: 'one' });
    expect(answer.status, answer.text).toBe(202);
    expect(answer.headers.get('location')).toBeNull();
    expect(answer.headers.get('operation-location')).toBeNull();
    expect(answer.headers.get('retry-after')).toBeNull();
    expect((await sluice.rest.get(`/operations/${answer.body.id}`)).status).toBe(404);
    await expect.poll(() => told.get('one'), { timeout: 10_000 }).toBeDefined();
    expect(told.get('one')).toContain('ce_id');
    expect(told.get('one')!.filter((name) => name.startsWith('kafka_'))).toEqual([]);
  });

  it('NOTIFY: OK over gRPC, without an operation', async () => {
    const answer = await sluice.grpc.call('Tell', { key: 'two' });
    expect(answer.code, answer.message).toBe('OK');
    expect(answer.operation).toBeNull();
    await expect.poll(() => told.has('two'), { timeout: 10_000 }).toBe(true);
  });

  it('NOTIFY with ALWAYS: an operation that is done once the broker has the command', async () => {
    const answer = await sluice.rest.post('/v1/tell-kept', { key: 'three' });
    expect(answer.status, answer.text).toBe(202);
    const status = await sluice.rest.follow(answer.body.id);
    expect(status.body).toMatchObject({ state: 'succeeded', done: true });
    await expect.poll(() => told.get('three'), { timeout: 10_000 }).toBeDefined();
    expect(told.get('three')!.filter((name) => name.startsWith('kafka_'))).toEqual([]);
    expect(status.body.error).toBeUndefined();
    const result = await sluice.rest.get(`/operations/${answer.body.id}/result`);
    expect(result.status, result.text).toBe(200);
    expect(result.body).toEqual({});
  });

  it('NOTIFY with ALWAYS: OK over gRPC, with the name of the operation', async () => {
    const answer = await sluice.grpc.call('TellKept', { key: 'four' });
    expect(answer.code, answer.message).toBe('OK');
    const name = answer.announced;
    expect(answer.operation).toBe(name);
    expect((await sluice.grpc.waitOperation(name!)).value).toMatchObject({ done: true });
  });
});
