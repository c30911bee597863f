import { describe, expect, test } from 'vitest';
import { MemoryTransport } from '../src/memory-transport.ts';
import { OffsetTracker } from '../src/offsets.ts';
import { type OutgoingRecord, SendError } from '../src/transport.ts';
import { createBench, createGate, METHOD, REPLIES } from './support/bench.ts';
import { turn } from './support/manual-clock.ts';

describe('offsets move only after the reply is acknowledged', () => {
  test('an unfinished command holds back the offsets of later ones that are done', async () => {
    const handlers = createGate<object>();
    const bench = createBench();
    bench.worker.handle(METHOD, (_request, context) => handlers.wait(context.operationId ?? ''));
    await bench.worker.start();
    for (const id of ['a', 'b', 'c']) await bench.send({ id });
    await handlers.release('b', {});
    await handlers.release('c', {});
    await bench.clock.advance(200);
    expect(bench.committed()).toBe(0n);
    await handlers.release('a', {});
    await bench.clock.advance(200);
    expect(bench.committed()).toBe(3n);
    await bench.worker.stop();
  });

  test('a reply that is not acknowledged yet holds its offset back', async () => {
    const bus = new HeldReplies();
    const bench = createBench({ transport: bus }, bus);
    bench.worker.handle(METHOD, () => ({ ok: true }));
    await bench.worker.start();
    await bench.send({ id: 'a' });
    await bench.clock.advance(200);
    expect(bench.committed()).toBe(0n);
    bus.acknowledge();
    await turn();
    await bench.clock.advance(200);
    expect(bench.committed()).toBe(1n);
    await bench.worker.stop();
  });

  test('a reply refused for good does not hold the partition back for ever', async () => {
    const bus = new HeldReplies();
    const bench = createBench({ transport: bus }, bus);
    bench.worker.handle(METHOD, () => ({ ok: true }));
    await bench.worker.start();
    await bench.send({ id: 'a' });
    bus.refuse(new SendError('unknown_topic', 'gone', { maybeSent: false }));
    await turn();
    await bench.clock.advance(200);
    expect(bench.committed()).toBe(1n);
    await bench.worker.stop();
  });

  test('a result that is too large for the topic is answered with an error that says so', async () => {
    const bus = new HeldReplies();
    const bench = createBench({ transport: bus }, bus);
    bench.worker.handle(METHOD, () => ({ ok: true }));
    await bench.worker.start();
    await bench.send({ id: 'a' });
    bus.refuse(new SendError('too_large', 'too large', { maybeSent: false }));
    await turn();
    bus.acknowledge();
    await turn();
    expect(bench.replies()).toMatchObject([{ kind: 'error', code: 'INTERNAL' }]);
    await bench.worker.stop();
  });

  test('a failed commit is made again', async () => {
    const bus = new HeldReplies();
    const bench = createBench({ transport: bus }, bus);
    bus.hold = false;
    bus.failCommits = 2;
    bench.worker.handle(METHOD, () => ({}));
    await bench.worker.start();
    await bench.send({ id: 'a' });
    await bench.clock.advance(1_000);
    expect(bus.failCommits).toBe(0);
    expect(bench.committed()).toBe(1n);
    await bench.worker.stop();
  });
});

describe('the offset tracker', () => {
  test('what was received before a partition was given away commits nothing after it is taken back', () => {
    const offsets = new OffsetTracker();
    const early = offsets.receive('t', 0, 5n);
    offsets.forget([{ topic: 't', partition: 0 }]);
    expect(early?.isHeld()).toBe(false);
    offsets.receive('t', 0, 5n);
    early?.finish();
    expect(offsets.committable()).toEqual([]);
  });

  test('a record that is being worked on is not taken a second time; one that is done is', () => {
    const offsets = new OffsetTracker();
    const ticket = offsets.receive('t', 0, 5n);
    expect(offsets.receive('t', 0, 5n)).toBeNull();
    ticket?.finish();
    expect(offsets.receive('t', 0, 5n)).not.toBeNull();
  });

  test('a topic made anew is followed from its new beginning', () => {
    const offsets = new OffsetTracker();
    offsets.receive('t', 0, 1_000n)?.finish();
    offsets.markCommitted(offsets.committable());
    offsets.receive('t', 0, 0n)?.finish();
    expect(offsets.committable()).toEqual([{ topic: 't', partition: 0, offset: 1n }]);
  });
});

/** Keeps replies back until the test lets them go. */
class HeldReplies extends MemoryTransport {
  hold = true;
  failCommits = 0;
  #held: { records: readonly OutgoingRecord[]; settle: PromiseWithResolvers<void> }[] = [];

  override async send(records: readonly OutgoingRecord[]): Promise<void> {
    if (!this.hold || records[0]?.topic !== REPLIES) return super.send(records);
    const settle = Promise.withResolvers<void>();
    this.#held.push({ records, settle });
    await settle.promise;
  }

  acknowledge(): void {
    for (const { records, settle } of this.#held.splice(0)) void super.send(records).then(settle.resolve);
  }

  refuse(error: Error): void {
    for (const { settle } of this.#held.splice(0)) settle.reject(error);
  }

  override async subscribe(options: Parameters<MemoryTransport['subscribe']>[0]) {
    const subscription = await super.subscribe(options);
    return {
      ...subscription,
      commit: async (positions: Parameters<typeof subscription.commit>[0]) => {
        if (this.failCommits-- > 0) throw new Error('coordinator is away');
        this.failCommits = 0;
        await subscription.commit(positions);
      },
    };
  }
}
