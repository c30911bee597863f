import { afterAll, afterEach, beforeEach, expect, it } from 'vitest';
import { Doors } from '../support/doors.ts';
import { describeOnBothStacks, findPlace, type Place, startTestGateway, type TestGateway } from '../support/gateway.ts';

describeOnBothStacks('a gateway that drains', (stack) => {
  let place: Place;
  let doors: Doors;
  let sluice: TestGateway;

  const start = async (drain: { delayMs: number; timeoutMs: number }) => {
    const wait = async ({ key }: { key?: string }) => {
      if (key) await doors.pass(key);
      return { text: 'answered' };
    };
    place ??= await findPlace(stack);
    sluice = await startTestGateway({
      stack,
      place,
      config: { drain },
      handlers: { Do: wait, HurryLong: wait, Keep: wait },
    });
  };
  beforeEach(() => {
    doors = new Doors();
  });
  afterEach(async () => {
    doors.openAll();
    await sluice.close();
  });
  afterAll(() => expect(sluice.gateway.readiness().ready).toBe(false));

  const reached = (key: string) => expect.poll(() => doors.isReached(key), { timeout: 15_000 }).toBe(true);

  it('turns waiting calls into a 202, or a 504 where the command says so', async () => {
    await start({ delayMs: 0, timeoutMs: 0 });
    const promised = sluice.rest.post('/v1/do', { key: 'a' });
    const recorded = sluice.rest.post('/v1/keep', { key: 'b' });
    const failed = sluice.rest.post('/v1/hurry-long', { key: 'c' });
    const overGrpc = sluice.grpc.call('Do', { key: 'd' }, { timeoutMs: 30_000 });
    await Promise.all(['a', 'b', 'c', 'd'].map(reached));
    const drained = sluice.gateway.drain();
    for (const answer of await Promise.all([promised, recorded])) {
      expect(answer.status, answer.text).toBe(202);
      expect(answer.headers.get('location')).toBe(`/operations/${answer.body.id}`);
      expect(answer.headers.get('connection')).toBe('close');
    }
    expect((await failed).status).toBe(504);
    expect((await failed).body).toMatchObject({ code: 'WAIT_EXPIRED', delivery: 'unknown' });
    const ended = await overGrpc;
    expect(ended.code).toBe('DEADLINE_EXCEEDED');
    expect(ended.operation).toMatch(/^operations\//);
    await drained;
    await expect(sluice.rest.get('/operations')).rejects.toThrow();
    await expect(fetch(`${sluice.managementUrl}/health/live`)).rejects.toThrow();
  });

  it('is red at once, and takes calls as long as its delay', async () => {
    await start({ delayMs: 1_500, timeoutMs: 0 });
    expect((await fetch(`${sluice.managementUrl}/health/ready`)).status).toBe(200);
    const drained = sluice.gateway.drain();
    const ready = await fetch(`${sluice.managementUrl}/health/ready`);
    expect(ready.status).toBe(503);
    expect(((await ready.json()) as { reasons: string[] }).reasons).toContain('the gateway is draining');
    expect((await fetch(`${sluice.managementUrl}/health/live`)).status).toBe(200);
    expect((await sluice.grpc.call('grpc.health.v1.Health/Check')).value).toEqual({ status: 'NOT_SERVING' });
    expect((await sluice.rest.post('/v1/do', {})).status).toBe(200);
    await drained;
  });

  it('lets waiting calls end within its bound, and refuses new ones meanwhile', async () => {
    await start({ delayMs: 0, timeoutMs: 15_000 });
    const waiting = sluice.rest.post('/v1/do', { key: 'a' });
    const overGrpc = sluice.grpc.call('Do', { key: 'a' }, { timeoutMs: 30_000 });
    await reached('a');
    const drained = sluice.gateway.drain();
    // No connection is taken any more, so a new call fails before it is sent.
    await expect
      .poll(() =>
        sluice.rest.post('/v1/do', {}).then(
          () => 'taken',
          () => 'refused',
        ),
      )
      .toBe('refused');
    doors.open('a');
    expect((await waiting).status).toBe(200);
    expect((await overGrpc).code).toBe('OK');
    await drained;
  });

  it('leaves what it promised to the next one', async () => {
    await start({ delayMs: 0, timeoutMs: 0 });
    const promised = sluice.rest.post('/v1/keep', { key: 'a' });
    await reached('a');
    await sluice.gateway.drain();
    expect((await promised).status).toBe(202);
    // The same call twice is one drain.
    await sluice.gateway.drain();
    if (stack === 'embedded') return;
    const { id } = (await promised).body;
    doors.open('a');
    await sluice.close();
    await start({ delayMs: 0, timeoutMs: 0 });
    expect((await sluice.rest.follow(id)).body).toMatchObject({ state: 'succeeded', result: { text: 'answered' } });
  });
});
