import { afterAll, beforeAll, expect, it } from 'vitest';
import { operationMetadataType } from '../../src/contract/own-messages.ts';
import { Doors } from '../support/doors.ts';
import { describeOnBothStacks, startTestGateway, type TestGateway } from '../support/gateway.ts';

describeOnBothStacks('a call whose wait ends first', (stack) => {
  const doors = new Doors();
  let sluice: TestGateway;

  beforeAll(async () => {
    sluice = await startTestGateway({
      stack,
      handlers: {
        Do: async ({ key }, context) => {
          for (const percent of [25, 50, 75]) {
            await doors.pass(`${key} ${percent}`);
            await context.progress({ percent, message: `at ${percent}` });
          }
          await doors.pass(`${key} end`);
          return { text: `${key} done` };
        },
      },
    });
  });
  afterAll(async () => {
    doors.openAll();
    await sluice.close();
  });

  const promise = async (key: string) => {
    const answer = await sluice.rest.post('/v1/do', { key }, { prefer: 'wait=0' });
    expect(answer.status, answer.text).toBe(202);
    return answer;
  };

  it('becomes a 202 with the same links, and says which wait it applied', async () => {
    const answer = await promise('links');
    expect(answer.headers.get('location')).toBe(`/operations/${answer.body.id}`);
    expect(answer.headers.get('operation-location')).toBe(`${sluice.rest.url}/operations/${answer.body.id}`);
    expect(answer.headers.get('retry-after')).toMatch(/^[1-9][0-9]*$/);
    expect(answer.headers.get('preference-applied')).toBe('wait=0');
    expect(answer.body.done).toBe(false);
  });

  it('shows rising progress to a long poll, then the result', async () => {
    const { body } = await promise('slow');
    const self = `/operations/${body.id}`;
    const seen: number[] = [];
    let etag = (await sluice.rest.get(self)).headers.get('etag')!;
    for (const percent of [25, 50, 75]) {
      const poll = pollUntil(self, etag, (document) => (document.progress?.percent ?? 0) >= percent);
      doors.open(`slow ${percent}`);
      const answer = await poll;
      expect(answer.body).toMatchObject({ state: 'running', progress: { percent, message: `at ${percent}` } });
      seen.push(answer.body.progress.percent);
      etag = answer.headers.get('etag')!;
    }
    expect(seen).toEqual([25, 50, 75]);
    const last = pollUntil(self, etag, (document) => document.done);
    doors.open('slow end');
    expect((await last).body).toMatchObject({ state: 'succeeded', result: { text: 'slow done' } });
  });

  it('takes along the progress that came before the end of the wait', async () => {
    doors.open('early 25');
    const answer = await sluice.rest.post('/v1/do', { key: 'early' }, { prefer: 'wait=1' });
    expect(answer.status).toBe(202);
    expect(answer.body).toMatchObject({ state: 'running', progress: { percent: 25 } });
  });

  it('answers 304 to a long poll at whose end nothing is new', async () => {
    const { body } = await promise('still');
    const self = `/operations/${body.id}`;
    const tag = (await sluice.rest.get(self)).headers.get('etag')!;
    // The state moves on for a while: the broker has the command, the worker says that it has it.
    const answer = await pollUntil(self, tag, () => false, 'wait=1');
    expect(answer.status).toBe(304);
    expect(answer.text).toBe('');
    expect(answer.headers.get('preference-applied')).toBe('wait=1');
    expect(answer.headers.get('etag')).toBe((await sluice.rest.get(self)).headers.get('etag'));
  });

  it('over gRPC shows its progress in the metadata of the operation', async () => {
    doors.open('grpc 25');
    const answer = await sluice.grpc.call('Do', { key: 'grpc' }, { timeoutMs: 4_000 });
    expect(answer.code).toBe('DEADLINE_EXCEEDED');
    const name = answer.operation;
    const running = await sluice.grpc.call('google.longrunning.Operations/GetOperation', { name });
    expect(operationMetadataType.decode(running.value.metadata.value)).toMatchObject({
      command: 'calls.v1.Calls/Do',
      progressPercent: 25,
      progressMessage: 'at 25',
    });
    for (const step of ['50', '75', 'end']) doors.open(`grpc ${step}`);
    const done = await sluice.grpc.waitOperation(name!);
    expect(done.code, `${name}: ${done.message}`).toBe('OK');
    expect(sluice.grpc.readReply(done.value.response)).toEqual({ text: 'grpc done' });
  });

  /** Asks again with the newest tag, as a poller does, until `isWanted`. */
  async function pollUntil(
    self: string,
    etag: string,
    isWanted: (document: { done: boolean; progress: { percent: number } | null }) => boolean,
    prefer = 'wait=20',
  ) {
    let tag = etag;
    for (;;) {
      const answer = await sluice.rest.get(self, { prefer, 'if-none-match': tag });
      if (answer.status === 304) return answer;
      expect(answer.status, answer.text).toBe(200);
      if (isWanted(answer.body)) return answer;
      tag = answer.headers.get('etag')!;
    }
  }
});
