import { afterAll, beforeAll, expect, it } from 'vitest';
import { describeOnBothStacks, startTestGateway, type TestGateway } from '../support/gateway.ts';

describeOnBothStacks('a call that is answered in time', (stack) => {
  let sluice: TestGateway;

  beforeAll(async () => {
    sluice = await startTestGateway({
      stack,
      handlers: {
        Do: (request, context) => {
          context.setHeader('x-shelf', 'A 3');
          context.setHeader('x-secret', 'kept from callers');
          context.setTrailer('x-shelf', 'behind');
          return { text: `${request.text}!`, small: request.small, large: request.large, seen: request.items };
        },
        Make: (request, context) => {
          if (request.text === 'accepted') context.setStatus(202);
          return { text: 'made' };
        },
        Read: ({ id, depth, kind, filter, tags }) => ({ text: JSON.stringify({ id, depth, kind, filter, tags }) }),
      },
    });
  });
  afterAll(() => sluice.close());

  it('has the same result over REST and gRPC', async () => {
    const request = { key: 'k', text: 'hello', small: -7, large: '9007199254740993' };
    const expected = { text: 'hello!', small: -7, large: '9007199254740993' };
    const rest = await sluice.rest.post('/v1/do', request);
    expect(rest.status, rest.text).toBe(200);
    expect(rest.body).toEqual(expected);
    expect(rest.headers.get('content-type')).toBe('application/json');
    expect(rest.headers.get('vary')).toBe('Prefer');
    expect(rest.headers.get('location')).toBeNull();
    const grpc = await sluice.grpc.call('Do', request);
    expect(grpc.code, grpc.message).toBe('OK');
    expect(grpc.value).toEqual(expected);
  });

  it('carries those headers and trailers of the worker that the policy lists, and no others', async () => {
    const rest = await sluice.rest.post('/v1/do', {});
    expect(rest.headers.get('x-shelf')).toBe('A 3');
    expect(rest.headers.get('x-secret')).toBeNull();
    const grpc = await sluice.grpc.call('Do');
    expect(grpc.headers?.get('x-shelf')).toEqual(['A 3']);
    expect(grpc.headers?.get('x-secret')).toEqual([]);
    expect(grpc.trailers.get('x-shelf')).toEqual(['behind']);
  });

  it("has the policy's success status, or the one that the worker chose", async () => {
    expect((await sluice.rest.post('/v1/make', {})).status).toBe(201);
    const chosen = await sluice.rest.post('/v1/make', { text: 'accepted' });
    expect(chosen.status).toBe(202);
    expect(chosen.body).toEqual({ text: 'made' });
    expect((await sluice.grpc.call('Make', { text: 'accepted' })).code).toBe('OK');
  });

  it('takes its request from path, query and a named body alike', async () => {
    const inQuery = await sluice.rest.get('/v1/things/a%2Fb%20c?depth=3&kind=RYE&filter.owner=me&tags=x&tags=y');
    expect(JSON.parse(inQuery.body.text)).toEqual({
      id: 'a/b c',
      depth: 3,
      kind: 'RYE',
      filter: { owner: 'me' },
      tags: ['x', 'y'],
    });
    const inBody = await sluice.rest.call('PUT', '/v1/things/a?depth=3', { body: { owner: 'me', limit: 2 } });
    expect(JSON.parse(inBody.body.text)).toEqual({ id: 'a', depth: 3, filter: { owner: 'me', limit: 2 } });
  });

  it('answers HEAD as GET without the body', async () => {
    const answer = await sluice.rest.call('HEAD', '/v1/things/a');
    expect(answer.status).toBe(200);
    expect(answer.text).toBe('');
    expect(Number(answer.headers.get('content-length'))).toBeGreaterThan(2);
  });

  it('leaves no row behind', async () => {
    await sluice.rest.post('/v1/do', {});
    const list = await sluice.rest.get('/operations');
    expect(list.body.operations).toEqual([]);
  });

  it('applies a wait that was asked for, and says so', async () => {
    const answer = await sluice.rest.post('/v1/do', {}, { prefer: 'wait=100' });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('preference-applied')).toBe('wait=30');
  });
});
