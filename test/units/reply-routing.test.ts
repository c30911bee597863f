import { describe, expect, it, vi } from 'vitest';
import { AwaitedCalls } from '../../src/operations/calls/awaited-calls.ts';
import type { OwnRecord } from '../../src/operations/channel-ports.ts';
import { PublishError } from '../../src/operations/channel-ports.ts';
import type { DispatchMarks } from '../../src/operations/outbox/dispatch-marks.ts';
import type { Reply, UnreadableReply } from '../../src/operations/reply.ts';
import type { OffsetMove, OperationChange } from '../../src/operations/store-ports.ts';
import { StoreError } from '../../src/operations/store-ports.ts';
import { Forwarder } from '../../src/replies/forwarder.ts';
import type { ReplyBatch } from '../../src/replies/ports.ts';
import { ReplyLoop } from '../../src/replies/reply-loop.ts';
import { Settler } from '../../src/replies/settler.ts';
import { silentLogger } from '../../src/runtime/log.ts';
import { createMetrics } from '../../src/runtime/metrics.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { aReply, newOperationId } from '../support/operations.ts';

const PARTITION = 3;
const NO_MARKS = { takeAlong: () => null, complete: () => undefined, putBack: () => undefined };
const refused = () => new PublishError('too_large', 'too large', { certainlyNotSent: true, definite: true });

/** A loop on partition 3 whose database, sender and second reader are in the test's hands. */
function setUp(options: { maxItems?: number; maxPending?: number } = {}) {
  const clock = new FakeClock();
  const metrics = createMetrics();
  const calls = new AwaitedCalls({ maxOpenCalls: 10, maxOpenBytes: 1000, maxRecordedCalls: 10 });
  const database = {
    isAway: false,
    /** What a transaction waits for before it commits. */
    gate: Promise.resolve(),
    settled: [] as string[],
    moves: [] as OffsetMove[],
  };
  const changes = {
    commit: async (batch: readonly OperationChange[], move: OffsetMove | null) => {
      if (database.isAway) throw new StoreError('away', { certainlyNotWritten: true });
      await database.gate;
      database.settled.push(...batch.map(({ operationId }) => operationId));
      if (move) database.moves.push(move);
      return { operations: [], missing: [] };
    },
  };
  const settler = new Settler(
    { maxItems: 100, maxBytes: 1000, gatherMs: 0 },
    {
      changes,
      calls,
      marks: NO_MARKS as unknown as DispatchMarks,
      onLeaseDoubt: () => undefined,
      isAnyAwaited: () => false,
      clock,
      logger: silentLogger,
      metrics,
    },
  );
  const send = vi.fn(async (_record: OwnRecord) => ({ partition: 0, offset: 0n }));
  const forms = {
    rehomed: (reply: Reply | UnreadableReply, partition: number): OwnRecord => own('replies', partition, reply),
    deadLetter: (reply: UnreadableReply): OwnRecord => own('dead', null, reply),
    withoutValue: (record: OwnRecord): OwnRecord => ({ ...record, value: null }),
  };
  const forwarder = new Forwarder(
    { maxPending: options.maxPending ?? 10 },
    { sender: { send }, forms, clock, logger: silentLogger, metrics },
  );
  const rereads: { from: bigint; onBatch: (batch: ReplyBatch) => Promise<void> | void; isStopped: boolean }[] = [];
  const source = {
    canReread: true,
    reread: (_: number, from: bigint, onBatch: (batch: ReplyBatch) => Promise<void> | void) => {
      const reread = { from, onBatch, isStopped: false };
      rereads.push(reread);
      return { stop: async () => void Object.assign(reread, { isStopped: true }) };
    },
  };
  const loop = new ReplyLoop(
    { bootId: 'me', queue: { maxItems: options.maxItems ?? 10, maxBytes: 1000 } },
    { calls, settler, forwarder, source, clock, nowMs: () => 0, logger: silentLogger, metrics },
  );
  const lease = { partition: PARTITION, fence: 1n, nextOffset: 0n, owner: 'me', home: true, expired: false };
  const cursor = loop.open(lease);
  return { clock, calls, database, send, loop, cursor, rereads, forwarder, settler, lease };
}

function own(topic: string, partition: number | null, { raw }: Reply | UnreadableReply): OwnRecord {
  return { topic, partition, key: null, value: raw.value, headers: [] };
}

function at(offset: bigint, parts: Partial<Reply> = {}, id = newOperationId()): Reply {
  const correlation = { operationId: id, homePartition: PARTITION, unrecordedBy: null };
  return aReply(id, 'result', { correlation, position: { topic: 'replies', partition: PARTITION, offset }, ...parts });
}

function garbage(offset: bigint, correlation: UnreadableReply['correlation'] = null): UnreadableReply {
  return {
    position: { topic: 'replies', partition: PARTITION, offset },
    correlation,
    code: 'REPLY_INVALID',
    reason: 'no correlation id',
    sizeBytes: 1,
    raw: { key: null, value: Buffer.from('x'), headers: [] },
    isRehomed: false,
  };
}

function batch(replies: readonly Reply[], nextOffset: bigint, unreadable: readonly UnreadableReply[] = []): ReplyBatch {
  return { partition: PARTITION, replies, unreadable, nextOffset };
}

function turnOfTheLoop(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

describe('a reply to another instance’s unrecorded call', () => {
  const strayed = { operationId: newOperationId(), homePartition: 7, unrecordedBy: 'other' };

  it('is sent to its home partition without a look-up, and the read position waits for the ack', async () => {
    const { loop, cursor, send, database } = setUp();
    const ack = Promise.withResolvers<{ partition: number; offset: bigint }>();
    send.mockReturnValueOnce(ack.promise);
    loop.onBatch(batch([at(0n, { correlation: strayed })], 1n));
    expect(send.mock.calls[0]?.[0]).toMatchObject({ topic: 'replies', partition: 7 });
    expect(cursor.beginProgress()).toBeNull();
    ack.resolve({ partition: 7, offset: 0n });
    await vi.waitFor(() => expect(cursor.beginProgress()).toEqual({ expectedOffset: 0n, nextOffset: 1n }));
    expect(database.settled).toEqual([]);
  });

  it('is sent again until the channel takes it', async () => {
    const { loop, cursor, send, clock } = setUp();
    send.mockRejectedValueOnce(new PublishError('unreachable', 'away', { certainlyNotSent: true, definite: false }));
    loop.onBatch(batch([at(0n, { correlation: strayed })], 1n));
    await vi.waitFor(() => {
      clock.advance(200);
      expect(send).toHaveBeenCalledTimes(2);
    });
    await vi.waitFor(() => expect(cursor.beginProgress()).not.toBeNull());
  });

  it('is settled here where its home topic refuses it: it is the only copy', async () => {
    const { loop, cursor, send, database } = setUp();
    send.mockRejectedValueOnce(refused());
    loop.onBatch(batch([at(0n, { correlation: strayed })], 1n));
    await vi.waitFor(() => expect(database.settled).toEqual([strayed.operationId]));
    expect(cursor.offsetAfter([])).toBe(1n);
  });

  it('that cannot be read is neither passed before it is home nor before it is buried', async () => {
    const { loop, cursor, send } = setUp();
    const home = Promise.withResolvers<{ partition: number; offset: bigint }>();
    send.mockReturnValueOnce(home.promise);
    loop.onBatch(batch([], 1n, [garbage(0n, strayed)]));
    await vi.waitFor(() => expect(send.mock.calls.map(([record]) => record.topic)).toEqual(['replies', 'dead']));
    expect(cursor.offsetAfter([])).toBe(0n);
    home.resolve({ partition: 7, offset: 0n });
    await vi.waitFor(() => expect(cursor.offsetAfter([])).toBe(1n));
  });

  it('is sent on once: back at the wrong place, or at home, it is looked up in the store', async () => {
    const { loop, send, database } = setUp();
    const home = { ...strayed, operationId: newOperationId(), homePartition: PARTITION };
    loop.onBatch(batch([at(0n, { correlation: strayed, isRehomed: true }), at(1n, { correlation: home })], 2n));
    await vi.waitFor(() => expect(database.settled).toEqual([strayed.operationId, home.operationId]));
    expect(send).not.toHaveBeenCalled();
  });
});

describe('a reply that cannot be read', () => {
  it('is on the dead-letter topic before the read position passes it', async () => {
    const { loop, cursor, send } = setUp();
    const ack = Promise.withResolvers<{ partition: number; offset: bigint }>();
    send.mockReturnValueOnce(ack.promise);
    loop.onBatch(batch([], 1n, [garbage(0n)]));
    expect(send.mock.calls[0]?.[0]).toMatchObject({ topic: 'dead', value: Buffer.from('x') });
    expect(cursor.beginProgress()).toBeNull();
    ack.resolve({ partition: 0, offset: 0n });
    await vi.waitFor(() => expect(cursor.beginProgress()).toEqual({ expectedOffset: 0n, nextOffset: 1n }));
  });

  it('ends its operation too where it names one, and neither passes before both are done', async () => {
    const { loop, cursor, send, database } = setUp();
    const ack = Promise.withResolvers<{ partition: number; offset: bigint }>();
    send.mockReturnValueOnce(ack.promise);
    const correlation = { operationId: newOperationId(), homePartition: PARTITION, unrecordedBy: null };
    loop.onBatch(batch([], 1n, [garbage(0n, correlation)]));
    await vi.waitFor(() => expect(database.settled).toEqual([correlation.operationId]));
    expect(database.moves).toMatchObject([{ expectedOffset: 0n, nextOffset: 0n }]);
    ack.resolve({ partition: 0, offset: 0n });
    await vi.waitFor(() => expect(cursor.beginProgress()).toEqual({ expectedOffset: 0n, nextOffset: 1n }));
  });

  it('goes without its value where that is refused, and is passed where even that is', async () => {
    const { loop, cursor, send } = setUp();
    send.mockRejectedValueOnce(refused());
    loop.onBatch(batch([], 1n, [garbage(0n)]));
    await vi.waitFor(() => expect(send.mock.calls.map(([record]) => record.value)).toEqual([Buffer.from('x'), null]));
    send.mockRejectedValue(refused());
    loop.onBatch(batch([], 2n, [garbage(1n)]));
    await vi.waitFor(() => expect(cursor.offsetAfter([])).toBe(2n));
  });
});

describe('while replies go on coming', () => {
  it('settling stops with the batch that is under way, and leaves the others to who reads them next', async () => {
    const { loop, cursor, database, settler } = setUp();
    const commit = Promise.withResolvers<void>();
    database.gate = commit.promise;
    const [first, second] = [at(0n), at(1n)];
    loop.onBatch(batch([first], 1n));
    expect(cursor.writing).toBe(true);
    loop.onBatch(batch([second], 2n));
    const stopped = settler.stop();
    commit.resolve();
    await stopped;
    expect(database.settled).toEqual([first.correlation.operationId]);
    expect(cursor.queued).toBe(1);
    expect(cursor.committed).toBe(1n);
  });
});

describe('a reply that a call holds while it is promoted', () => {
  it('keeps the read position back also where it is read again, from a partition that was opened anew', () => {
    const { loop, calls, lease } = setUp();
    const call = calls.open(newOperationId(), 1);
    const correlation = { operationId: call.id, homePartition: PARTITION, unrecordedBy: 'me' };
    const held = batch([at(0n, { correlation }, call.id)], 1n);
    call.beginPromotion();
    loop.onBatch(held);
    const anew = loop.open(lease);
    loop.onBatch(held);
    expect(anew.position).toBe(1n);
    expect(anew.beginProgress()).toBeNull();
    loop.drop(call.abandonPromotion());
    expect(anew.beginProgress()).toEqual({ expectedOffset: 0n, nextOffset: 1n });
    calls.close(call);
  });
});

describe('while the home partitions take nothing', () => {
  const homeless = (offset: bigint) =>
    at(offset, { correlation: { operationId: newOperationId(), homePartition: 7, unrecordedBy: 'other' } });

  /** Four replies for elsewhere, of which one finds room among those that are sent on; the second reader has two of them. */
  function overflow() {
    const parts = setUp({ maxPending: 1 });
    const acks: PromiseWithResolvers<{ partition: number; offset: bigint }>[] = [];
    parts.send.mockImplementation(() => {
      acks.push(Promise.withResolvers());
      return acks.at(-1)!.promise;
    });
    const ack = (index: number) => acks[index]?.resolve({ partition: 7, offset: 0n });
    const replies = [0n, 1n, 2n, 3n].map(homeless);
    parts.loop.onBatch(batch(replies, 4n));
    expect(parts.rereads.map(({ from }) => from)).toEqual([1n]);
    const progress = { waits: true };
    const room = parts.rereads[0]?.onBatch(batch(replies.slice(1, 3), 3n));
    const read = Promise.resolve(room).then(() => Object.assign(progress, { waits: false }));
    return { ...parts, ack, replies, progress, read };
  }

  it('the second reader waits until as few replies are being sent on as may be', async () => {
    const { send, ack, progress, read, rereads, replies, cursor, forwarder } = overflow();
    expect(send).toHaveBeenCalledTimes(3);
    for (const index of [0, 1]) {
      await turnOfTheLoop();
      expect(progress.waits).toBe(true);
      ack(index);
    }
    await turnOfTheLoop();
    expect(forwarder.hasRoom).toBe(false);
    expect(progress.waits).toBe(true);
    ack(2);
    await read;
    rereads[0]?.onBatch(batch(replies.slice(3), 4n));
    expect(rereads[0]?.isStopped).toBe(true);
    ack(3);
    await vi.waitFor(() => expect(cursor.offsetAfter([])).toBe(4n));
  });

  it('the second reader is let go when sending on is stopped', async () => {
    const { ack, progress, forwarder } = overflow();
    await turnOfTheLoop();
    expect(progress.waits).toBe(true);
    const stopped = forwarder.stop();
    await vi.waitFor(() => expect(progress.waits).toBe(false));
    for (const index of [0, 1, 2]) ack(index);
    await stopped;
  });
});

describe('while the database is away', () => {
  /** Three replies, of which two find room; then one to a call that waits. */
  async function overflow() {
    const parts = setUp({ maxItems: 2 });
    parts.database.isAway = true;
    const replies = [at(0n), at(1n), at(2n)];
    expect(parts.loop.onBatch(batch(replies, 3n))).toBeUndefined();
    return { ...parts, replies, ids: replies.map(({ correlation }) => correlation.operationId) };
  }

  it('callers that wait get their replies although settlement has no room', async () => {
    const { loop, calls } = await overflow();
    const call = calls.open(newOperationId(), 1);
    const correlation = { operationId: call.id, homePartition: PARTITION, unrecordedBy: 'me' };
    loop.onBatch(batch([at(3n, { correlation }, call.id)], 4n));
    expect(await call.take()).toMatchObject({ kind: 'reply' });
    calls.close(call);
  });

  it('what found no room is read again once the queue has drained, and the position waits for it', async () => {
    const { loop, clock, database, cursor, rereads, replies, ids } = await overflow();
    loop.onBatch(batch([at(3n)], 4n));
    database.isAway = false;
    await vi.waitFor(() => {
      clock.advance(250);
      expect(database.settled).toEqual(ids.slice(0, 2));
    });
    expect(database.moves.at(-1)?.nextOffset).toBe(2n);
    expect(cursor.beginProgress()).toBeNull();
    await vi.waitFor(() => {
      clock.advance(250);
      expect(rereads).toHaveLength(1);
    });
    expect(rereads[0]?.from).toBe(2n);
    // A batch begins where the log says, not where it was asked for: what is settled already is left out.
    rereads[0]?.onBatch(batch(replies.slice(1), 3n));
    expect(rereads[0]?.isStopped).toBe(false);
    rereads[0]?.onBatch(batch([at(3n)], 4n));
    expect(rereads[0]?.isStopped).toBe(true);
    await vi.waitFor(() => expect(database.settled).toHaveLength(4));
    expect(database.settled.slice(0, 3)).toEqual(ids);
    expect(database.moves.at(-1)?.nextOffset).toBe(4n);
  });

  it('the second reader waits for room, and what comes live is dropped until it has caught up', async () => {
    const { loop, clock, database, cursor, rereads } = await overflow();
    loop.onBatch(batch([at(3n), at(4n)], 5n));
    database.isAway = false;
    await vi.waitFor(() => {
      clock.advance(250);
      expect(rereads).toHaveLength(1);
    });
    database.isAway = true;
    rereads[0]?.onBatch(batch([at(2n)], 3n));
    await vi.waitFor(() => expect(cursor.queued).toBe(1));
    const waits = rereads[0]?.onBatch(batch([at(3n)], 4n));
    expect(waits).toBeInstanceOf(Promise);
    expect(loop.onBatch(batch([at(5n)], 6n))).toBeUndefined();
    database.isAway = false;
    await vi.waitFor(() => {
      clock.advance(250);
      expect(database.settled).toHaveLength(4);
    });
    await waits;
    // It may be ahead of the first reader, whose replies callers may still wait for: those it leaves alone.
    rereads[0]?.onBatch(batch([at(4n), at(5n), at(6n)], 7n));
    expect(rereads[0]?.isStopped).toBe(true);
    await vi.waitFor(() => expect(database.moves.at(-1)?.nextOffset).toBe(6n));
    expect(database.settled).toHaveLength(6);
    loop.onBatch(batch([at(6n)], 7n));
    await vi.waitFor(() => expect(database.moves.at(-1)?.nextOffset).toBe(7n));
    expect(database.settled).toHaveLength(7);
  });

  it('a lease that is lost ends the second reading', async () => {
    const { loop, clock, database, rereads } = await overflow();
    database.isAway = false;
    await vi.waitFor(() => {
      clock.advance(250);
      expect(rereads).toHaveLength(1);
    });
    loop.close(PARTITION);
    expect(rereads[0]?.isStopped).toBe(true);
    rereads[0]?.onBatch(batch([at(2n)], 3n));
    expect(database.settled).toHaveLength(2);
  });
});
