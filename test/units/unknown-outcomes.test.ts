import { describe, expect, it, vi } from 'vitest';
import type { PublishReceipt } from '../../src/operations/channel-ports.ts';
import { PublishError } from '../../src/operations/channel-ports.ts';
import { ChangeWriter } from '../../src/operations/outbox/change-writer.ts';
import { Dispatcher } from '../../src/operations/outbox/dispatch.ts';
import { DispatchMarks } from '../../src/operations/outbox/dispatch-marks.ts';
import { Recorder } from '../../src/operations/outbox/record.ts';
import type { NewOperation, OperationChange, OperationInserts } from '../../src/operations/store-ports.ts';
import { LeaseLostError, StoreError } from '../../src/operations/store-ports.ts';
import { silentLogger } from '../../src/runtime/log.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { anOperation } from '../support/operations.ts';
import { aNewOperation } from '../support/store-parts.ts';

const bounds = { maxItems: 100, maxBytes: 1_000_000, maxPendingItems: 100, maxPendingBytes: 1_000_000 };
const lease = { partition: 0, fence: 1n };
const BOUNDS = { maxPending: 3, maxPendingBytes: 1000, maxPendingPerTopic: 2 };
const WORK = { deadlineMs: 5000, endsAtAck: false, attempt: 1, ordered: false, maybeSent: false };
const lost = () => new StoreError('connection lost', { certainlyNotWritten: false });

function recorderOn(inserts: Partial<OperationInserts>) {
  const clock = new FakeClock();
  const all: OperationInserts = {
    insert: () => Promise.reject(lost()),
    promote: () => Promise.reject(lost()),
    ...inserts,
  };
  return { clock, recorder: new Recorder(all, bounds, { clock, logger: silentLogger }) };
}

describe('an insert that the database refuses', () => {
  it('takes none along of those that share its batch', async () => {
    const operations = Array.from({ length: 9 }, () => aNewOperation());
    const bad = new Set([operations[2]?.id, operations[7]?.id]);
    const refusal = new StoreError('permission denied', { certainlyNotWritten: true, refused: true });
    const batches: number[] = [];
    const { recorder } = recorderOn({
      insert: async (batch) => {
        batches.push(batch.length);
        if (batch.some(({ id }) => bad.has(id))) throw refusal;
        return batch.map(({ id }) => ({ kind: 'inserted', operation: anOperation({ id }), held: false }));
      },
    });
    const outcomes = await Promise.allSettled(operations.map((operation) => recorder.accept(operation)));
    expect(outcomes.map(({ status }) => status)).toEqual(
      operations.map(({ id }) => (bad.has(id) ? 'rejected' : 'fulfilled')),
    );
    expect(batches[0]).toBe(9);
    // Each half that has none at fault goes at once.
    expect(batches.length).toBeLessThan(2 * 9);
  });

  it('is asked once where the database is what fails', async () => {
    let asked = 0;
    const { recorder } = recorderOn({
      insert: () => {
        asked += 1;
        return Promise.reject(lost());
      },
    });
    const outcomes = await Promise.allSettled([1, 2, 3].map(() => recorder.accept(aNewOperation())));
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
    expect(asked).toBe(1);
  });
});

describe('an insert of unknown outcome', () => {
  it('is found where it was committed, also when its repeat shares a batch with rows that the lost lease refuses', async () => {
    const committed = aNewOperation();
    const refused = aNewOperation();
    const row = anOperation({ id: committed.id });
    const { recorder } = recorderOn({
      promote: async (operations: readonly NewOperation[]) => {
        if (operations.every(({ id }) => id === committed.id)) return [row];
        throw new LeaseLostError(0);
      },
    });
    const [first, second] = await Promise.allSettled([
      recorder.promote(committed, lease),
      recorder.promote(refused, lease),
    ]);
    expect(first).toEqual({ status: 'fulfilled', value: row });
    expect(second).toMatchObject({ status: 'rejected', reason: expect.any(LeaseLostError) });
  });

  it('is absent only where the store says so; at stop it stays unknown', async () => {
    const refusing = recorderOn({ promote: () => Promise.reject(new LeaseLostError(0)) });
    const absent = refusing.recorder.promoteUntilKnown(aNewOperation(), lease);
    await vi.waitFor(async () => {
      refusing.clock.advance(500);
      expect(await Promise.race([absent, 'not yet'])).toBe('absent');
    });
    const failing = recorderOn({});
    const unknown = failing.recorder.promoteUntilKnown(aNewOperation(), lease);
    await failing.recorder.stop();
    expect(await unknown).toBe('stopped');
  });
});

describe('the dispatcher', () => {
  const unreachable = () => new PublishError('unreachable', 'no broker', { certainlyNotSent: true, definite: false });
  const timedOut = () => new PublishError('timed_out', 'no answer', { certainlyNotSent: false, definite: false });

  function setUp(publish: () => Promise<PublishReceipt>) {
    const clock = new FakeClock();
    const written: OperationChange[] = [];
    const changes = {
      commit: async (batch: readonly OperationChange[]) => {
        written.push(...batch);
        return { operations: [], missing: [] };
      },
    };
    const writer = new ChangeWriter(changes, { maxBatch: 10, maxPending: 10 }, { clock, logger: silentLogger });
    const publisher = { assertFits: () => undefined, publish: vi.fn(publish) };
    const givenBack: unknown[] = [];
    const outbox = { giveBack: async (_boot: string, rows: readonly unknown[]) => void givenBack.push(...rows) };
    const deps = { bootId: 'boot', publisher, changeWriter: writer, outbox, clock, logger: silentLogger };
    const marks = new DispatchMarks(writer, { delayMs: 50 }, { clock });
    const dispatcher = new Dispatcher(BOUNDS, { ...deps, marks, nowMs: () => clock.monotonicMs() });
    const { record } = aNewOperation();
    const work = { ...WORK, operationId: anOperation().id, record };
    dispatcher.reserve(record, work.operationId);
    return { clock, written, publisher, dispatcher, work, givenBack, marks };
  }

  it('never sends a command after its deadline: one that was never sent is given back, for expiry', async () => {
    const { clock, written, publisher, dispatcher, work, givenBack } = setUp(() => Promise.reject(unreachable()));
    void dispatcher.dispatch(work);
    await vi.waitFor(() => {
      clock.advance(1000);
      expect(givenBack).toEqual([{ operationId: work.operationId, maybeSent: false }]);
    });
    expect(written).toHaveLength(0);
    for (const [, giveUpAtMs] of publisher.publish.mock.calls as unknown as [unknown, number][]) {
      expect(giveUpAtMs).toBeLessThanOrEqual(work.deadlineMs);
    }
    await vi.waitFor(() => expect(dispatcher.pending).toBe(0));
  });

  it('says of a definite refusal which attempt was refused: another one may be on its way', async () => {
    const refused = () => new PublishError('too_large', 'too large', { certainlyNotSent: true, definite: true });
    const { written, dispatcher, work } = setUp(() => Promise.reject(refused()));
    await dispatcher.dispatch({ ...work, attempt: 3 });
    expect(written[0]?.events[0]).toMatchObject({ type: 'failed', afterAttempt: 3, error: { delivery: 'not_sent' } });
  });

  it('does not send at all what is late already', async () => {
    const { clock, publisher, dispatcher, work, givenBack } = setUp(() => Promise.reject(unreachable()));
    clock.advance(6000);
    await dispatcher.dispatch(work);
    expect(givenBack).toHaveLength(1);
    expect(publisher.publish).not.toHaveBeenCalled();
  });

  it('says nothing of a late command that may have been sent: its reply may be on the way', async () => {
    const { clock, written, dispatcher, work } = setUp(() => Promise.reject(timedOut()));
    void dispatcher.dispatch(work);
    await vi.waitFor(() => {
      clock.advance(1000);
      expect(dispatcher.pending).toBe(0);
    });
    expect(written).toHaveLength(0);
  });

  it('is bounded, in commands and in bytes', () => {
    const { dispatcher, work } = setUp(() => new Promise(() => undefined));
    const refused = expect.objectContaining({ code: 'OVERLOADED', delivery: 'not_sent' });
    expect(() => dispatcher.reserve({ ...work.record, value: Buffer.alloc(2000) }, 'large')).toThrow(refused);
    dispatcher.reserve(work.record, 'second');
    dispatcher.reserve({ ...work.record, topic: 'other' }, 'third');
    expect(() => dispatcher.reserve({ ...work.record, topic: 'new' }, 'fourth')).toThrow(refused);
    dispatcher.giveBack(work.record, 'second');
    expect(dispatcher.room()).toMatchObject({ items: 1 });
  });

  it('has room for other topics where one cannot be written to', () => {
    const { dispatcher, work } = setUp(() => new Promise(() => undefined));
    dispatcher.reserve(work.record, 'second');
    expect(() => dispatcher.reserve(work.record, 'third')).toThrow(expect.objectContaining({ code: 'OVERLOADED' }));
    dispatcher.reserve({ ...work.record, topic: 'other' }, 'fourth');
    expect(dispatcher.holds('fourth')).toBe(true);
  });

  it('gives back at stop what is not on the log, and tells whether a send of it may have reached one', async () => {
    const { dispatcher, work, givenBack } = setUp(() => Promise.reject(timedOut()));
    const done = dispatcher.dispatch(work);
    await dispatcher.stop();
    await done;
    expect(givenBack).toEqual([{ operationId: work.operationId, maybeSent: true }]);
    const unsent = setUp(() => Promise.reject(unreachable()));
    void unsent.dispatcher.dispatch(unsent.work);
    await unsent.dispatcher.stop();
    expect(unsent.givenBack).toEqual([{ operationId: unsent.work.operationId, maybeSent: false }]);
  });

  it('sends a withdrawn command no more, and knows whether it ever could have', async () => {
    const { clock, dispatcher, work, publisher, written } = setUp(() => Promise.reject(unreachable()));
    const done = dispatcher.dispatch(work);
    await vi.waitFor(() => expect(clock.pendingTimers).toBe(1));
    expect(dispatcher.withdraw(work.operationId)).toBe(true);
    // At once, not at the next try: its slot is free for another.
    await done;
    expect([dispatcher.pending, clock.pendingTimers]).toEqual([0, 0]);
    expect(publisher.publish).toHaveBeenCalledTimes(1);
    expect(written).toHaveLength(0);
    expect(dispatcher.withdraw(work.operationId)).toBe(false);
  });

  it('cannot promise of a withdrawn command whose send is under way that it was not sent', async () => {
    const { dispatcher, work, publisher } = setUp(() => Promise.reject(unreachable()));
    const done = dispatcher.dispatch(work);
    expect(dispatcher.withdraw(work.operationId)).toBe(false);
    await done;
    expect(publisher.publish).toHaveBeenCalledTimes(1);
  });

  it('does not wait for a database that is away when it stops', async () => {
    const clock = new FakeClock();
    const writer = new ChangeWriter(
      { commit: () => Promise.reject(lost()) },
      { maxBatch: 10, maxPending: 10 },
      { clock, logger: silentLogger },
    );
    const publisher = { assertFits: () => undefined, publish: async () => ({ partition: 0, offset: 1n }) };
    const outbox = { giveBack: async () => undefined };
    const deps = {
      bootId: 'boot',
      publisher,
      changeWriter: writer,
      outbox,
      clock,
      nowMs: () => 0,
      logger: silentLogger,
    };
    const dispatcher = new Dispatcher(BOUNDS, {
      ...deps,
      marks: new DispatchMarks(writer, { delayMs: 50 }, { clock }),
    });
    const { record } = aNewOperation();
    dispatcher.reserve(record, 'one');
    void dispatcher.dispatch({ ...WORK, operationId: 'one', record });
    await vi.waitFor(() => expect(clock.pendingTimers).toBe(1));
    writer.stopRepeating();
    await dispatcher.stop();
    expect(dispatcher.pending).toBe(0);
  });
});
