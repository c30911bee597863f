import { afterAll, beforeAll, expect, it } from 'vitest';
import { describeOnBothStacks, startTestGateway, type TestGateway } from '../support/gateway.ts';
import { startRawWorker } from '../support/raw-worker.ts';

describeOnBothStacks('a command that fails at the end of its wait', (stack) => {
  let sluice: TestGateway;

  beforeAll(async () => {
    sluice = await startTestGateway({
      stack,
      // Without a deadline a gRPC caller waits as long as the worker has.
      config: { contract: { policies: { methods: { 'calls.v1.Calls/Hurry': { timeout: '600ms' } } } } },
    });
    const options = { topics: [sluice.topicOf('Hurry')], group: `${sluice.place.namespace}.raw` };
    // No SDK: it would answer DEADLINE_EXCEEDED at the end of the wait, which is this command's deadline.
    await startRawWorker(sluice.transport, options, (command) => {
      if (JSON.parse(command.text).key === undefined) void command.reply({ value: '{"text":"in time"}' });
    });
  });
  afterAll(() => sluice.close());

  it('answers in time as any other', async () => {
    // The first call on Kafka may take longer than this command waits: its consumer group has just been made.
    await expect.poll(async () => (await sluice.rest.post('/v1/hurry', {})).status, { timeout: 10_000 }).toBe(200);
  });

  it('answers 504 whose delivery is unknown, and leaves no row', async () => {
    const answer = await sluice.rest.post('/v1/hurry', { key: 'held' });
    expect(answer.status, answer.text).toBe(504);
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
    expect(answer.headers.get('location')).toBeNull();
    expect(answer.body).toMatchObject({ code: 'WAIT_EXPIRED', delivery: 'unknown', status: 504 });
    expect(answer.body.operation).toBeUndefined();
    expect((await sluice.rest.get('/operations')).body.operations).toEqual([]);
  });

  it('fails also where a 202 was asked for, and applies no preference', async () => {
    const answer = await sluice.rest.post('/v1/hurry', { key: 'held too' }, { prefer: 'respond-async' });
    expect(answer.status).toBe(504);
    expect(answer.headers.get('preference-applied')).toBeNull();
    expect((await sluice.rest.get('/operations')).body.operations).toEqual([]);
  });

  it('over gRPC is DEADLINE_EXCEEDED without an operation', async () => {
    const answer = await sluice.grpc.call('Hurry', { key: 'held as well' });
    expect(answer.code).toBe('DEADLINE_EXCEEDED');
    expect(answer.details?.info).toMatchObject({ reason: 'WAIT_EXPIRED', metadata: { delivery: 'unknown' } });
    expect(answer.details?.info?.metadata['operation']).toBeUndefined();
    expect(answer.operation).toBeNull();
  });
});
