import { afterEach, describe, expect, it } from 'vitest';
import { CallLog, type EdgeName } from '../../src/edge/call-log.ts';
import { silentLogger } from '../../src/runtime/log.ts';
import { createMetrics } from '../../src/runtime/metrics.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { callMethod, openGate } from '../support/grpc-gate.ts';
import { openRig } from './rest-support.ts';

describe('the log of calls', () => {
  const closing: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const close of closing.splice(0)) await close();
  });

  it('counts the calls of both edges in the same instruments, told apart by a label', async () => {
    const metrics = createMetrics();
    const clock = new FakeClock();
    const record = (edge: EdgeName, outcome: string) =>
      new CallLog(edge, { logger: silentLogger, metrics, clock }).record({
        edge,
        command: 'a.v1.A/B',
        method: null,
        route: null,
        status: 200,
        outcome,
        delivery: null,
        durationMs: 4,
        requestId: 'r',
        operationId: null,
        sizeBytes: 0,
      });
    record('rest', 'OK');
    record('rest', 'OK');
    record('grpc', 'OK');
    record('grpc', 'OVERLOADED');
    const { text } = await metrics.render();
    expect(text).toContain('sluice_calls_total{edge="rest",command="a.v1.A/B",outcome="OK"} 2');
    expect(text).toContain('sluice_calls_total{edge="grpc",command="a.v1.A/B",outcome="OK"} 1');
    expect(text).toContain('sluice_calls_total{edge="grpc",command="a.v1.A/B",outcome="OVERLOADED"} 1');
    expect(text).toContain('sluice_call_duration_seconds_sum{edge="rest",command="a.v1.A/B",outcome="OK"} 0.008');
  });

  it('writes one line a call, with the same fields over REST and gRPC', async () => {
    const rig = await openRig();
    await rig.post('/v1/orders', '{"customerId":"c1"}');
    const written: { fields: object; message: string }[] = [];
    const info = (fields: object, message: string) => void written.push({ fields, message });
    const gate = await openGate({ logger: { ...silentLogger, info } });
    closing.push(() => gate.close());
    await callMethod(gate, '/mill.v1.Mill/Grind', { id: 'x' });
    const [overRest] = rig.lines;
    const [overGrpc] = written;
    expect(Object.keys(overGrpc?.fields ?? {})).toEqual(Object.keys(overRest?.fields ?? {}));
    expect([overRest?.message, overGrpc?.message]).toEqual(['call', 'call']);
    expect([overRest?.fields, overGrpc?.fields]).toMatchObject([
      { edge: 'rest', command: 'test.v1.Orders/CreateOrder', route: '/v1/orders', outcome: 'OK', delivery: null },
      { edge: 'grpc', command: 'mill.v1.Mill/Grind', route: null, status: 'OK', outcome: 'OK', delivery: null },
    ]);
  });
});
