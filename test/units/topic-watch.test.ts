import { describe, expect, it, vi } from 'vitest';
import { AwaitedCalls } from '../../src/operations/calls/awaited-calls.ts';
import type { Forwarder } from '../../src/replies/forwarder.ts';
import { ReplyLeases } from '../../src/replies/leases.ts';
import type { LeaseRow, LeaseStore, ReplySource } from '../../src/replies/ports.ts';
import { ReplyLoop } from '../../src/replies/reply-loop.ts';
import type { Settler } from '../../src/replies/settler.ts';
import { TopicWatch } from '../../src/replies/topic-watch.ts';
import { silentLogger } from '../../src/runtime/log.ts';
import { createMetrics } from '../../src/runtime/metrics.ts';
import { FakeClock } from '../support/fake-clock.ts';

type Bounds = Awaited<ReturnType<ReplySource['bounds']>>;

const TOPIC = 'replies';
const LEASE_MS = 8000;
const HEARTBEAT_MS = 2000;

/** Lease rows that one instance finds free, by the test's clock. */
class FewLeases {
  readonly rows: LeaseRow[];
  readonly #clock: FakeClock;
  #untilMs = Number.POSITIVE_INFINITY;
  /** A heartbeat came when all that this instance has had been for others to take. */
  ranOut = false;
  beats = 0;

  constructor(count: number, clock: FakeClock) {
    this.#clock = clock;
    const free = { fence: 0n, nextOffset: 5n, owner: null, home: false, expired: false };
    this.rows = Array.from({ length: count }, (_, partition) => ({ ...free, partition }));
  }

  asStore(): LeaseStore {
    return {
      ensure: async () => undefined,
      heartbeat: async ({ bootId, leaseMs }) => {
        this.beats += 1;
        this.ranOut ||= this.#clock.monotonicMs() > this.#untilMs;
        this.#untilMs = this.#clock.monotonicMs() + leaseMs;
        return { clockOffsetMs: 0, liveInstances: [bootId], leases: [...this.rows], moved: [] };
      },
      take: async ({ partition, bootId, home }) => {
        const row = this.rows[partition] as LeaseRow;
        const taken = { ...row, owner: bootId, home, fence: row.fence + 1n };
        this.rows[partition] = taken;
        return taken;
      },
      release: async () => undefined,
      listLeases: async () => this.rows,
      listOpenAt: async () => [],
      resetPosition: async () => true,
      retire: async () => undefined,
    };
  }
}

/** Leases, loop and watch over a channel whose answers the test gives. */
function setUp(count: number) {
  const clock = new FakeClock();
  const metrics = createMetrics();
  const few = new FewLeases(count, clock);
  const hang = Promise.withResolvers<Bounds>();
  hang.promise.catch(() => undefined);
  const store = few.asStore();
  const source = {
    topic: TOPIC,
    partitions: async () => few.rows.map(({ partition }) => partition),
    bounds: vi.fn<(partitions: readonly number[]) => Promise<Bounds>>(() => hang.promise),
    start: async () => undefined,
    adopt: vi.fn(),
    abandon: () => undefined,
    reread: () => ({ stop: async () => undefined }),
    canReread: true,
    trouble: () => null,
    stop: async () => undefined,
  };
  const loop = new ReplyLoop(
    { bootId: 'me', queue: { maxItems: 10, maxBytes: 1000 } },
    {
      calls: new AwaitedCalls({ maxOpenCalls: 1, maxOpenBytes: 1, maxRecordedCalls: 1 }),
      settler: { kick: () => undefined } as unknown as Settler,
      forwarder: {} as unknown as Forwarder,
      source,
      clock,
      nowMs: () => 0,
      logger: silentLogger,
      metrics,
    },
  );
  const watch = new TopicWatch({ store, source, loop, clock, logger: silentLogger, metrics });
  const options = { bootId: 'me', leaseMs: LEASE_MS, heartbeatMs: HEARTBEAT_MS, lingerMs: 1000 };
  const leases = new ReplyLeases(options, { store, source, loop, watch, clock, logger: silentLogger });
  const lost = async () => (await metrics.render()).text.match(/^sluice_lost_reply_positions_total (\d+)/m)?.[1];
  return { clock, few, source, loop, watch, leases, lost, endHang: () => hang.reject(new Error('away')) };
}

describe('while the channel hangs', () => {
  it('an instance keeps what it has while it takes many partitions', async () => {
    const { clock, few, source, leases, endHang } = setUp(12);
    // It began with an error: rows of an earlier run are there.
    source.bounds.mockRejectedValueOnce(new Error('away'));
    leases.start();
    try {
      await vi.waitFor(
        () => {
          clock.advance(250);
          expect(few.rows.every(({ owner }) => owner === 'me')).toBe(true);
          expect(few.beats).toBeGreaterThan(1);
        },
        { interval: 1, timeout: 10_000 },
      );
      expect(few.ranOut).toBe(false);
      expect(leases.home()).not.toBeNull();
    } finally {
      endHang();
      await leases.stop();
    }
  });

  it('it is asked no second time for a partition that is taken', async () => {
    const { few, source, watch } = setUp(1);
    const lease = few.rows[0] as LeaseRow;
    const checked = watch.check(lease, undefined);
    expect(source.bounds).not.toHaveBeenCalled();
    expect(await checked).toBe(lease);
  });
});

describe('a partition that was opened unchecked', () => {
  /** Opened at 5, with a reply at 5 that a promoting call holds and one at 6 that nobody wants. */
  async function openUnchecked() {
    const parts = setUp(1);
    const lease = await parts.watch.check(parts.few.rows[0] as LeaseRow, undefined);
    const cursor = parts.loop.open(lease);
    cursor.pin(5n);
    cursor.advanceTo(7n);
    const answer = (start: bigint, end: bigint) =>
      parts.source.bounds.mockResolvedValueOnce(new Map([[0, { start, end }]]));
    return { ...parts, cursor, answer };
  }

  it('keeps what it holds where the log has its position after all', async () => {
    const { watch, loop, cursor, source, answer, lost } = await openUnchecked();
    // For the rows; then an answer of before the last owner read on, and the one that is asked for then.
    answer(0n, 0n);
    answer(0n, 4n);
    answer(0n, 9n);
    watch.lookAround();
    await watch.stop();
    expect(source.bounds).toHaveBeenCalledTimes(3);
    expect(loop.cursor(0)).toBe(cursor);
    expect(cursor.beginProgress()).toBeNull();
    expect(source.adopt).not.toHaveBeenCalled();
    expect(await lost()).toBe('0');
  });

  it('is read from the start of a log that lacks its position, and that is counted', async () => {
    const { watch, loop, source, answer, lost } = await openUnchecked();
    answer(0n, 0n);
    answer(8n, 20n);
    answer(8n, 20n);
    watch.lookAround();
    await watch.stop();
    expect(source.adopt).toHaveBeenCalledWith(0, 8n);
    expect(loop.cursor(0)?.committed).toBe(8n);
    expect(await lost()).toBe('1');
  });
});
