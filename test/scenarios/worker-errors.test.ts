import { CommandError } from '@sluice/worker';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { describeOnBothStacks, startTestGateway, type TestGateway } from '../support/gateway.ts';

const DETAILS = [{ '@type': 'type.googleapis.com/calls.v1.Shelf', sku: 'PEN', left: 0 }];

describeOnBothStacks('an error of a worker', (stack) => {
  let sluice: TestGateway;

  beforeAll(async () => {
    const fail = ({ text }: { text: string }) => {
      if (text === 'bug') throw new Error('a secret of the worker');
      throw new CommandError('FAILED_PRECONDITION', 'PEN is sold out: "Füller"', DETAILS);
    };
    sluice = await startTestGateway({ stack, handlers: { Do: fail, Keep: fail } });
  });
  afterAll(() => sluice.close());

  const PROBLEM = {
    type: 'urn:sluice:error:COMMAND_FAILED',
    status: 400,
    code: 'COMMAND_FAILED',
    delivery: 'failed',
    detail: 'PEN is sold out: "Füller"',
    workerError: { code: 'FAILED_PRECONDITION', message: 'PEN is sold out: "Füller"', details: DETAILS },
  };

  it('is a problem whose delivery is failed over REST', async () => {
    const answer = await sluice.rest.post('/v1/do', { text: 'x' });
    expect(answer.status).toBe(400);
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
    expect(answer.body).toMatchObject(PROBLEM);
  });

  it('is the same code with details over gRPC', async () => {
    const answer = await sluice.grpc.call('Do', { text: 'x' });
    expect(answer.code).toBe('FAILED_PRECONDITION');
    expect(answer.message).toBe(PROBLEM.detail);
    expect(answer.details?.info).toMatchObject({
      domain: 'sluice',
      reason: 'COMMAND_FAILED',
      metadata: { delivery: 'failed' },
    });
    expect(answer.details?.typeUrls).toContain('type.googleapis.com/google.protobuf.Value');
  });

  it('is INTERNAL without its message where the worker meant none', async () => {
    const answer = await sluice.rest.post('/v1/do', { text: 'bug' });
    expect(answer.status).toBe(500);
    expect(answer.body).toMatchObject({ code: 'COMMAND_FAILED', delivery: 'failed' });
    expect(answer.text).not.toContain('secret');
    expect((await sluice.grpc.call('Do', { text: 'bug' })).code).toBe('INTERNAL');
  });

  it('is replayed from status and result where the operation was recorded', async () => {
    const { body } = await sluice.rest.post('/v1/do', { text: 'x' }, { prefer: 'respond-async' });
    const status = await sluice.rest.follow(body.id);
    expect(status.status).toBe(200);
    expect(status.body).toMatchObject({ state: 'failed', done: true, error: PROBLEM });
    const result = await sluice.rest.get(`/operations/${body.id}/result`);
    expect(result.status).toBe(400);
    expect(result.headers.get('content-type')).toBe('application/problem+json');
    expect(result.body).toMatchObject(PROBLEM);
    const operation = await sluice.grpc.waitOperation(`operations/${body.id}`);
    expect(operation.value).toMatchObject({ done: true, error: { code: 9, message: PROBLEM.detail } });
  });

  it('is the same where the call waited for a recorded operation', async () => {
    const answer = await sluice.rest.post('/v1/keep', { text: 'x' });
    expect(answer.status).toBe(400);
    expect(answer.body).toMatchObject(PROBLEM);
    expect((await sluice.grpc.call('Keep', { text: 'x' })).code).toBe('FAILED_PRECONDITION');
  });
});
