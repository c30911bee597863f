import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Doors } from '../support/doors.ts';
import { findPlace, startTestGateway, type TestGateway } from '../support/gateway.ts';
import { describeWithBoth } from '../support/real-parts.ts';

describeWithBoth('two gateways on one Kafka and one PostgreSQL', () => {
  const doors = new Doors();
  let a: TestGateway;
  let b: TestGateway;

  beforeAll(async () => {
    const place = await findPlace('servers');
    const answer = async ({ key, text }: { key?: string; text: string }) => {
      if (key) await doors.pass(key);
      return { text: `for ${text}` };
    };
    const leases = { heartbeatMs: 300, leaseMs: 3_000 };
    a = await startTestGateway({ stack: 'servers', place, config: { leases }, handlers: { Do: answer } });
    b = await startTestGateway({ stack: 'servers', place, config: { leases } });
  });
  afterAll(async () => {
    doors.openAll();
    await b.close();
    await a.close();
  });

  it('give each caller the reply of its own call', async () => {
    const texts = Array.from({ length: 200 }, (_, index) => `call ${index}`);
    const answers = await Promise.all(texts.map((text, index) => (index % 2 ? a : b).rest.post('/v1/do', { text })));
    expect(answers.map(({ status }) => status)).toEqual(texts.map(() => 200));
    expect(answers.map(({ body }) => body.text)).toEqual(texts.map((text) => `for ${text}`));
  });

  describe('show each other', () => {
    it('an operation that was begun at the other, until it is done', async () => {
      const { body } = await a.rest.post('/v1/do', { key: 'shared', text: 'a' }, { prefer: 'respond-async' });
      const known = await b.rest.get(`/operations/${body.id}`);
      expect(known.body).toMatchObject({ id: body.id, done: false });
      const followed = b.rest.follow(body.id);
      doors.open('shared');
      expect((await followed).body).toMatchObject({ state: 'succeeded', result: { text: 'for a' } });
      expect((await b.rest.get(`/operations/${body.id}/result`)).body).toEqual({ text: 'for a' });
    });

    it('an operation that was promised at the end of a wait', async () => {
      const { body } = await b.rest.post('/v1/do', { key: 'promised', text: 'b' }, { prefer: 'wait=0' });
      const waited = a.grpc.waitOperation(`operations/${body.id}`);
      doors.open('promised');
      const done = await waited;
      expect(done.value).toMatchObject({ done: true });
      expect(a.grpc.readReply(done.value.response)).toEqual({ text: 'for b' });
    });
  });

  it('go on when one of them has drained: its operations are settled by the other', async () => {
    const { body } = await b.rest.post('/v1/do', { key: 'left', text: 'b' }, { prefer: 'wait=0' });
    await b.gateway.drain();
    doors.open('left');
    expect((await a.rest.follow(body.id)).body).toMatchObject({ state: 'succeeded', result: { text: 'for b' } });
  });
});
