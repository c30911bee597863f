import { afterAll, expect, it, vi } from 'vitest';
import { findPlace, startTestGateway, type TestGateway } from '../support/gateway.ts';
import { describeWithBoth } from '../support/real-parts.ts';

vi.setConfig({ testTimeout: 240_000, hookTimeout: 240_000 });

const PARTITIONS = 4;

describeWithBoth('instances that join one after the other', () => {
  const gateways: TestGateway[] = [];

  afterAll(async () => {
    await Promise.all(gateways.map((gateway) => gateway.close()));
  });

  it('have a reply partition of their own each, as long as there are as many, and answer calls', async () => {
    const place = await findPlace('servers');
    const config = { kafka: { replyPartitions: PARTITIONS }, leases: { heartbeatMs: 500 } };
    const options = { stack: 'servers', place, config } as const;
    // Resolves when the gateway is ready; those before it hold all partitions until then.
    for (let count = 0; count < PARTITIONS; count += 1) gateways.push(await startTestGateway(options));
    await gateways[0]!.startWorker({ Do: ({ text }) => ({ text: `for ${text}` }) });
    const texts = gateways.map((_, index) => `instance ${index}`);
    const answers = await Promise.all(gateways.map(({ rest }, index) => rest.post('/v1/do', { text: texts[index] })));
    expect(answers.map(({ status, body }) => [status, body.text])).toEqual(texts.map((text) => [200, `for ${text}`]));
  });
});
