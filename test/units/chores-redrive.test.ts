import { beforeEach, describe, expect, it } from 'vitest';
import { OwnRows } from '../../src/chores/own-rows.ts';
import { Redrive } from '../../src/chores/redrive.ts';
import { Uptake } from '../../src/chores/uptake.ts';
import { Watermark } from '../../src/chores/watermark.ts';
import { WorkerPositions } from '../../src/chores/worker-positions.ts';
import { silentLogger } from '../../src/runtime/log.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { FakeDispatcher, FakeLog, FakeRows, forever, type Row, uncounted } from './chores-support.ts';

describe('re-drive', () => {
  let rows: FakeRows;
  let log: FakeLog;
  let clock: FakeClock;
  let dispatcher: FakeDispatcher;
  let watermark: Watermark;
  let committed: Map<number, bigint> | Error;
  let asked: string[];

  beforeEach(() => {
    rows = new FakeRows();
    log = new FakeLog();
    clock = new FakeClock();
    dispatcher = new FakeDispatcher();
    watermark = new Watermark({ everyMs: 1000 }, { due: rows, log, clock });
    committed = new Map();
    asked = [];
  });

  function uptakeOf(bootId: string): Uptake {
    const reseal = (record: Row['record'], changes: object): Row['record'] => ({
      ...record,
      headers: [['changed', JSON.stringify(changes)]],
    });
    return new Uptake({ bootId, outbox: rows, dispatcher, reseal, nowMs: () => rows.databaseMs });
  }

  function makeRedrive(options: { bootId?: string; batchSize?: number } = {}): Redrive {
    const { bootId = 'me', batchSize = 10 } = options;
    const workers = {
      committed: async (group: string, topic: string) => {
        asked.push(`${group} ${topic}`);
        if (committed instanceof Error) throw committed;
        return new Map(committed);
      },
    };
    const positions = new WorkerPositions(workers, { clock, logger: silentLogger });
    const deps = { due: rows, changes: rows, watermark, positions, uptake: uptakeOf(bootId), done: uncounted };
    return new Redrive({ bootId, batchSize, everyMs: 1000 }, { ...deps, nowMs: () => rows.databaseMs });
  }

  /** On the log for longer than its command says. */
  function addSilent(parts: Partial<Row> = {}): string {
    const lastSignMs = rows.databaseMs - 10_000;
    const published = { partition: 0, offset: 7n };
    const terms = { maxAttempts: 2, redeliverAfterMs: 5000 };
    return rows.add({ published, claimedBy: 'me', maybeSent: true, lastSignMs, ...terms, ...parts });
  }

  async function look(redrive: Redrive): Promise<void> {
    await watermark.run(forever).catch(() => undefined);
    clock.advance(500);
    await redrive.run(forever);
    clock.advance(500);
  }

  it('sends a silent command again, as the next attempt', async () => {
    const id = addSilent();
    const { deadlineMs } = rows.get(id).operation;
    await look(makeRedrive());
    expect(dispatcher.work).toMatchObject([
      {
        operationId: id,
        attempt: 2,
        maybeSent: true,
        record: { headers: [['changed', JSON.stringify({ attempt: 2, deadlineMs })]] },
      },
    ]);
    expect(rows.get(id)).toMatchObject({ published: null, claimedBy: 'me', operation: { attempt: 2, deadlineMs } });
  });

  it('stands still before the watermark has proved any silence', async () => {
    addSilent();
    log.append();
    await look(makeRedrive());
    expect(rows.commits).toBe(0);
  });

  it('counts silence up to the proved time only', async () => {
    const redrive = makeRedrive();
    await watermark.run(forever);
    const id = addSilent({ lastSignMs: rows.databaseMs - 1000 });
    log.append();
    rows.databaseMs += 60_000;
    await look(redrive);
    expect(rows.get(id).operation.attempt).toBe(1);
  });

  it('makes one attempt where two holders see the silence', async () => {
    const id = addSilent();
    rows.alive.add('other');
    await watermark.run(forever);
    await Promise.all([makeRedrive().run(forever), makeRedrive({ bootId: 'other' }).run(forever)]);
    expect(dispatcher.sent).toEqual([id]);
    expect(rows.get(id).operation.attempt).toBe(2);
  });

  it('leaves a command that its workers have not come to yet', async () => {
    addSilent({ workerGroup: 'workers' });
    committed = new Map([[0, 7n]]);
    const redrive = makeRedrive();
    for (let count = 0; count < 4; count += 1) await look(redrive);
    expect(dispatcher.sent).toEqual([]);
    committed = new Map([[0, 8n]]);
    for (let count = 0; count < 4; count += 1) await look(redrive);
    expect(dispatcher.sent).toHaveLength(1);
  });

  it.each([
    ['has committed nothing', new Map<number, bigint>()],
    ['has committed other partitions only', new Map([[1, 100n]])],
    ['cannot be asked', new Error('Kafka is away')],
  ])('leaves a command whose group of workers %s', async (_, answer) => {
    addSilent({ workerGroup: 'workers' });
    committed = answer;
    const redrive = makeRedrive();
    for (let count = 0; count < 4; count += 1) await look(redrive);
    expect(dispatcher.sent).toEqual([]);
  });

  it('waits for the reply of a worker that has committed since the ends of the reply topic were read', async () => {
    addSilent({ workerGroup: 'workers' });
    await watermark.run(forever);
    clock.advance(10);
    // The reply is acknowledged, then the offset is committed; the reply is above the ends.
    log.append();
    committed = new Map([[0, 8n]]);
    const redrive = makeRedrive();
    for (let count = 0; count < 4; count += 1) await look(redrive);
    expect(dispatcher.sent).toEqual([]);
    rows.positions.set(0, 1n);
    for (let count = 0; count < 4; count += 1) await look(redrive);
    expect(dispatcher.sent).toHaveLength(1);
  });

  it('asks a group about a topic once a look, however many of its commands are silent', async () => {
    for (const topic of ['orders', 'orders', 'bills']) addSilent({ workerGroup: 'workers', record: recordOf(topic) });
    await look(makeRedrive());
    expect(asked.toSorted()).toEqual(['workers bills', 'workers orders']);
  });

  it('is not kept from other commands by those that wait for their workers', async () => {
    for (let count = 0; count < 3; count += 1) addSilent({ workerGroup: 'stuck' });
    const id = addSilent();
    const redrive = makeRedrive({ batchSize: 2 });
    for (let count = 0; count < 3; count += 1) await look(redrive);
    expect(dispatcher.sent).toEqual([id]);
  });

  it('begins no attempt that the dispatcher has no room for', async () => {
    addSilent();
    dispatcher.maxItems = 0;
    await look(makeRedrive());
    expect(rows.commits).toBe(0);
  });

  it('whose answer was lost is found again by the instance that made it', async () => {
    const id = addSilent();
    rows.losesNextAnswer = true;
    await expect(look(makeRedrive())).rejects.toThrow('mid-commit');
    expect(dispatcher.sent).toEqual([]);
    const options = { bootId: 'me', batchSize: 10, everyMs: 1000 };
    const ownRows = new OwnRows(options, { outbox: rows, uptake: uptakeOf('me'), done: uncounted });
    await ownRows.run(forever);
    await ownRows.run(forever);
    expect(dispatcher.work).toMatchObject([{ operationId: id, attempt: 2 }]);
  });
});

function recordOf(topic: string): Row['record'] {
  return { topic, key: new Uint8Array(), value: new Uint8Array(), headers: [] };
}
