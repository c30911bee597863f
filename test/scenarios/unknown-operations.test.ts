import { afterAll, beforeAll, expect, it } from 'vitest';
import { describeOnBothStacks, startTestGateway, type TestGateway } from '../support/gateway.ts';
import { newOperationId } from '../support/operations.ts';

describeOnBothStacks('what is not there', (stack) => {
  let sluice: TestGateway;

  beforeAll(async () => {
    sluice = await startTestGateway({ stack });
  });
  afterAll(() => sluice.close());

  it('an operation that nobody made is 404, also its result', async () => {
    const id = newOperationId();
    for (const path of [`/operations/${id}`, `/operations/${id}/result`]) {
      const answer = await sluice.rest.get(path);
      expect(answer.status).toBe(404);
      expect(answer.body).toMatchObject({ code: 'OPERATION_NOT_FOUND', status: 404 });
    }
    const answer = await sluice.grpc.call('google.longrunning.Operations/GetOperation', { name: `operations/${id}` });
    expect(answer.code).toBe('NOT_FOUND');
    expect(answer.details?.info?.reason).toBe('OPERATION_NOT_FOUND');
  });

  it('is answered at once also where a wait was asked for', async () => {
    const answer = await sluice.rest.get(`/operations/${newOperationId()}`, { prefer: 'wait=30' });
    expect(answer.status).toBe(404);
    expect((await sluice.grpc.waitOperation(`operations/${newOperationId()}`)).code).toBe('NOT_FOUND');
  });

  it.each([
    'nonsense',
    '%00',
    'ABCDEF00-0000-7000-8000-000000000000',
    '..%2f..',
    '018f0000-0000-4000-8000-000000000000',
  ])('no id at all (%s) is 404 as well', async (id) => {
    expect((await sluice.rest.get(`/operations/${id}`)).status).toBe(404);
  });

  it('an id older than the retention, without a row, is 410', async () => {
    const answer = await sluice.rest.get('/operations/018f0000-0000-7000-8000-000000000000');
    expect(answer.status).toBe(410);
    expect(answer.body.code).toBe('OPERATION_GONE');
  });

  it('a path without a route is 404, a route without the method 405 with those that it takes', async () => {
    const missing = await sluice.rest.get('/v1/nowhere');
    expect(missing.status).toBe(404);
    expect(missing.body).toMatchObject({ code: 'ROUTE_NOT_FOUND', delivery: 'not_sent' });
    const wrong = await sluice.rest.call('DELETE', '/v1/do');
    expect(wrong.status).toBe(405);
    expect(wrong.headers.get('allow')).toBe('OPTIONS, POST');
    expect((await sluice.rest.call('POST', '/operations')).status).toBe(405);
  });

  it('OPTIONS says which methods a route takes', async () => {
    const answer = await sluice.rest.call('OPTIONS', '/v1/things/a');
    expect(answer.status).toBe(204);
    expect(answer.headers.get('allow')).toBe('GET, HEAD, OPTIONS, PUT');
  });

  it('a command that nobody works on ends at its wait as a promise', async () => {
    const answer = await sluice.rest.post('/v1/do', {}, { prefer: 'wait=0' });
    expect(answer.status).toBe(202);
  });
});
