import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Channel } from '../../src/channel/channel.ts';
import { PublishError } from '../../src/operations/channel-ports.ts';
import { shiftDatabaseClock } from '../support/database-clock.ts';
import {
  describeOnBothStacks,
  findPlace,
  type Place,
  QUICK,
  startTestGateway,
  type TestGateway,
} from '../support/gateway.ts';

const ASYNC = { prefer: 'respond-async' };
const SOON = { timeout: 40_000 };
const timeout = 90_000;
const RETENTION_MS = 24 * 3_600_000;

/** Dead letters are not taken while it is closed. */
class DeadLetterGate {
  isOpen = false;

  readonly wrap = (channel: Channel): Channel => ({
    publisher: channel.publisher,
    workers: channel.workers,
    replies: channel.replies,
    ensureTopics: (topics) => channel.ensureTopics(topics),
    degraded: () => channel.degraded(),
    stop: () => channel.stop(),
    sender: {
      send: (record, giveUpAtMs) => {
        if (this.isOpen || !record.topic.endsWith('dead-letters')) return channel.sender.send(record, giveUpAtMs);
        return Promise.reject(
          new PublishError('unreachable', 'the gate is closed', { certainlyNotSent: true, definite: false }),
        );
      },
    },
  });
}

describeOnBothStacks('operations past their retention', (stack) => {
  const gate = new DeadLetterGate();
  let finished: string[] = [];
  let owing: string;
  let folder: string;
  let place: Place;
  let sluice: TestGateway;

  const start = async () => {
    sluice = await startTestGateway({
      stack,
      place,
      config: {
        ...QUICK,
        chores: { ...QUICK.chores, batchSize: 4, purgeIntervalMs: 100 },
        operations: { retentionMs: RETENTION_MS },
        store: { dataDir: join(folder, 'data') },
      },
      policies: { Make: { timeout: '1s' } },
      handlers: { Keep: () => ({ text: 'kept' }) },
      parts: { wrapChannel: gate.wrap },
    });
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-retention-'));
    place = await findPlace(stack);
    await start();
  });
  afterAll(async () => {
    await sluice?.close();
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  });

  const statusOf = async (id: string) => (await sluice.rest.get(`/operations/${id}`)).status;

  /** Ids of operations that succeed. */
  const finish = async (count: number): Promise<string[]> => {
    const ids: string[] = [];
    for (let call = 0; call < count; call += 1) ids.push((await sluice.rest.post('/v1/keep', {}, ASYNC)).body.id);
    for (const id of ids) {
      const { body } = await sluice.rest.follow(id);
      expect(body).toMatchObject({ state: 'succeeded' });
      expect(Date.parse(body.retainedUntil) - Date.parse(body.updatedAt)).toBeGreaterThanOrEqual(RETENTION_MS);
    }
    return ids;
  };
  const goOnAt = async (offsetMs: number) => {
    await sluice.close();
    await shiftDatabaseClock(sluice.config.store, offsetMs);
    await start();
  };

  it('vanish, batch by batch; what is younger stays, and what owes a dead letter', { timeout }, async () => {
    // More than two batches.
    finished = await finish(10);
    owing = (await sluice.rest.post('/v1/make', {}, ASYNC)).body.id;
    expect((await sluice.rest.follow(owing)).body).toMatchObject({ state: 'expired' });
    await goOnAt(RETENTION_MS / 2);
    const younger = await finish(2);
    await goOnAt(RETENTION_MS + 60_000);
    const purged = () => sluice.readMetric('sluice_chore_items_total', 'chore="purge"');
    await expect.poll(purged, SOON).toBe(finished.length);
    const listed = await sluice.rest.get('/operations');
    const ids = listed.body.operations.map(({ id }: { id: string }) => id);
    expect(ids).toEqual([...younger.toReversed(), owing]);
    expect(await Promise.all(ids.map(statusOf))).toEqual([200, 200, 200]);
  });

  it('are answered 410 then, over gRPC NOT_FOUND', { timeout }, async () => {
    const answer = await sluice.rest.get(`/operations/${finished[0]}`);
    expect(answer.status, answer.text).toBe(410);
    expect(answer.body).toMatchObject({ code: 'OPERATION_GONE' });
    expect((await sluice.rest.get(`/operations/${finished[0]}/result`)).status).toBe(410);
    expect((await sluice.rest.get(`/operations/${finished[0]}/events`)).status).toBe(410);
    const name = `operations/${finished[0]}`;
    const overGrpc = await sluice.grpc.call('google.longrunning.Operations/GetOperation', { name });
    expect(overGrpc.code).toBe('NOT_FOUND');
    expect(overGrpc.details?.info).toMatchObject({ reason: 'OPERATION_GONE' });
  });

  it('vanish once their dead letter is on its topic', { timeout }, async () => {
    gate.isOpen = true;
    await expect.poll(() => statusOf(owing), SOON).not.toBe(200);
    expect(await sluice.readMetric('sluice_chore_items_total', 'chore="dead-letters"')).toBe(1);
    expect(await statusOf(owing)).toBe(410);
  });
});
