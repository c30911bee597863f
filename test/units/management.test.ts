import { afterEach, describe, expect, it } from 'vitest';
import { createManagementServer, type ManagementServer, type Readiness } from '../../src/edge/management.ts';
import { createMetrics } from '../../src/runtime/metrics.ts';

let server: ManagementServer | null = null;
afterEach(() => server?.close());

async function start(readiness: () => Readiness, metrics = createMetrics()): Promise<string> {
  server = createManagementServer({ host: '127.0.0.1', port: 0 }, { readiness, metrics });
  const { port } = await server.listen();
  return `http://127.0.0.1:${port}`;
}

const well: Readiness = { ready: true, reasons: [], degraded: [] };

describe('the management port', () => {
  it('is alive whatever the readiness', async () => {
    const base = await start(() => ({ ready: false, reasons: ['starting'], degraded: [] }));
    const response = await fetch(`${base}/health/live`);
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ status: 'live' });
  });

  it('is red with the reasons only for what is the own fault of the instance', async () => {
    let readiness = well;
    const base = await start(() => readiness);
    const read = async () => {
      const response = await fetch(`${base}/health/ready`);
      return [response.status, await response.json()];
    };
    expect(await read()).toEqual([200, { status: 'ready', reasons: [], degraded: [] }]);
    readiness = { ready: true, reasons: [], degraded: ['kafka'] };
    expect(await read()).toEqual([200, { status: 'degraded', reasons: [], degraded: ['kafka'] }]);
    readiness = { ready: false, reasons: ['draining'], degraded: ['kafka'] };
    expect(await read()).toEqual([503, { status: 'not_ready', reasons: ['draining'], degraded: ['kafka'] }]);
  });

  it('gives metrics in the form of Prometheus', async () => {
    const metrics = createMetrics();
    metrics.counter('sluice_calls_total', 'Calls.', ['code']).add(3, 'OK');
    const base = await start(() => well, metrics);
    const response = await fetch(`${base}/metrics`);
    expect(response.headers.get('content-type')).toContain('version=0.0.4');
    expect(await response.text()).toContain('sluice_calls_total{code="OK"} 3');
  });

  it('gives what the process itself uses, where the registry is that of the process', async () => {
    const { text } = await createMetrics({ withProcess: true }).render();
    for (const name of [
      'process_cpu_seconds_total',
      'process_resident_memory_bytes',
      'nodejs_eventloop_lag_p99_seconds',
    ]) {
      expect(text).toContain(`\n${name} `);
    }
    expect((await createMetrics().render()).text).not.toContain('process_');
  });

  it('answers HEAD without a body, other methods with 405 and other paths with 404', async () => {
    const base = await start(() => well);
    const head = await fetch(`${base}/health/ready?x=1`, { method: 'HEAD' });
    expect([head.status, await head.text()]).toEqual([200, '']);
    const post = await fetch(`${base}/metrics`, { method: 'POST', body: 'x' });
    expect([post.status, post.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
    expect((await fetch(`${base}/v1/orders`)).status).toBe(404);
  });

  it('answers 500 where a source throws, and goes on', async () => {
    const base = await start(() => {
      throw new Error('no reading');
    });
    expect((await fetch(`${base}/health/ready`)).status).toBe(500);
    expect((await fetch(`${base}/health/live`)).status).toBe(200);
  });

  it('rejects where the port is taken', async () => {
    const base = await start(() => well);
    const second = createManagementServer(
      { host: '127.0.0.1', port: Number(new URL(base).port) },
      { readiness: () => well, metrics: createMetrics() },
    );
    await expect(second.listen()).rejects.toThrow(/EADDRINUSE/);
    await second.close();
  });
});
