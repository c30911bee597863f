import { afterAll, beforeAll, expect, it } from 'vitest';
import { describeOnBothStacks, startTestGateway, type TestGateway } from '../support/gateway.ts';

const TRACE = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

describeOnBothStacks('the context of a call', (stack) => {
  /** Headers of the last command. */
  let seen = new Map<string, string>();
  let sluice: TestGateway;

  beforeAll(async () => {
    sluice = await startTestGateway({
      stack,
      handlers: {
        Do: (_request, { headers }) => {
          seen = new Map(headers);
          return {};
        },
      },
    });
  });
  afterAll(() => sluice.close());

  it('carries the trace of the caller to the worker and back', async () => {
    const headers = { traceparent: TRACE, tracestate: 'vendor=a:1,other=b' };
    const rest = await sluice.rest.post('/v1/do', {}, headers);
    expect(seen.get('traceparent')).toBe(TRACE);
    expect(seen.get('tracestate')).toBe('vendor=a:1,other=b');
    expect(rest.headers.get('traceparent')).toBe(TRACE);
    seen = new Map();
    const grpc = await sluice.grpc.call('Do', {}, { metadata: headers });
    expect(seen.get('traceparent')).toBe(TRACE);
    expect(seen.get('tracestate')).toBe('vendor=a:1,other=b');
    expect(grpc.trailers.get('traceparent')).toEqual([TRACE]);
  });

  it('begins a trace where the caller brings none that is valid, and drops its state', async () => {
    const answer = await sluice.rest.post('/v1/do', {}, { traceparent: '00-0-0-0', tracestate: 'vendor=a' });
    const begun = answer.headers.get('traceparent');
    expect(begun).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
    expect(seen.get('traceparent')).toBe(begun);
    expect(seen.has('tracestate')).toBe(false);
  });

  it('names the request as the caller does, or by an id of ours', async () => {
    const named = await sluice.rest.post('/v1/do', {}, { 'x-request-id': 'my-request' });
    expect(named.headers.get('x-request-id')).toBe('my-request');
    const unnamed = await sluice.rest.post('/v1/do', {});
    expect(unnamed.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
    const grpc = await sluice.grpc.call('Do', {}, { metadata: { 'x-request-id': 'my-request' } });
    expect(grpc.trailers.get('x-request-id')).toEqual(['my-request']);
    const refused = await sluice.rest.post('/v1/do', { small: 'x' }, { 'x-request-id': 'refused' });
    expect(refused.body.requestId).toBe('refused');
  });

  it('carries the constants of the policy and those headers of the caller that it lets through, and no others', async () => {
    const headers = { 'x-tenant': 'acme', 'x-other': 'secret', authorization: 'Bearer secret', cookie: 'a=secret' };
    for (const call of [
      () => sluice.rest.post('/v1/do', {}, headers),
      () => sluice.grpc.call('Do', {}, { metadata: headers }),
    ]) {
      seen = new Map();
      await call();
      expect(seen.get('x-tenant')).toBe('acme');
      expect(seen.get('__TypeId__')).toBe('calls.Do');
      expect([...seen.values()].filter((value) => value.includes('secret'))).toEqual([]);
    }
  });

  it('counts the gateways that a call has crossed, and refuses a loop', async () => {
    await sluice.rest.post('/v1/do', {}, { 'sluice-hops': '3' });
    expect(seen.get('sluice-hops')).toBe('4');
    seen = new Map();
    const rest = await sluice.rest.post('/v1/do', {}, { 'sluice-hops': '8' });
    expect(rest.status).toBe(508);
    expect(rest.body).toMatchObject({ code: 'CALL_LOOP', delivery: 'not_sent' });
    const grpc = await sluice.grpc.call('Do', {}, { metadata: { 'sluice-hops': '8' } });
    expect(grpc.code).toBe('FAILED_PRECONDITION');
    expect(seen.size).toBe(0);
  });
});
