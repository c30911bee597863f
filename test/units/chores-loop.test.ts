import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Calm } from '../../src/chores/calm.ts';
import type { Chore } from '../../src/chores/chore.ts';
import { Chores } from '../../src/chores/chores.ts';
import type { ChoresLease } from '../../src/chores/ports.ts';
import { Reconciliation } from '../../src/chores/reconciliation.ts';
import { Purge } from '../../src/chores/retention.ts';
import { silentLogger } from '../../src/runtime/log.ts';
import { createMetrics } from '../../src/runtime/metrics.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { forever, settle, storeAway, uncounted } from './chores-support.ts';

const options = { bootId: 'me', leaseMs: 8000, intervalMs: 1000 };

/** One row, as the database has it. */
class FakeLease implements ChoresLease {
  holder: string | null = null;
  isAway = false;
  hold = async (bootId: string) => {
    if (this.isAway) throw storeAway;
    this.holder ??= bootId;
    return this.holder === bootId;
  };
  letGo = async (bootId: string) => {
    if (this.holder === bootId) this.holder = null;
  };
}

class FakeChore implements Chore {
  readonly name: string;
  readonly everyMs: number;
  readonly signals: AbortSignal[] = [];
  next: () => Promise<void> = async () => undefined;

  constructor(name: string, everyMs = 1000) {
    this.name = name;
    this.everyMs = everyMs;
  }

  get runs(): number {
    return this.signals.length;
  }

  run(signal: AbortSignal): Promise<void> {
    this.signals.push(signal);
    return this.next();
  }
}

const uptake = { takeUp: async () => 0 };
const calm = new Calm({ periodMs: 8000 }, { clock: new FakeClock() });

let clock: FakeClock;
let lease: FakeLease;
let first: FakeChore;
let second: FakeChore;
let ofEach: FakeChore;
let chores: Chores;

beforeEach(() => {
  clock = new FakeClock();
  lease = new FakeLease();
  first = new FakeChore('first');
  second = new FakeChore('second');
  ofEach = new FakeChore('of-each');
  const duties = { ofHolder: [first, second], ofEach: [ofEach] };
  chores = new Chores(options, duties, { lease, uptake, calm, clock, logger: silentLogger });
});
afterEach(async () => {
  lease.isAway = false;
  await chores.stop();
  expect(clock.pendingTimers).toBe(0);
});

async function pass(byMs: number): Promise<void> {
  for (let leftMs = byMs; leftMs > 0; leftMs -= 1000) {
    clock.advance(Math.min(leftMs, 1000));
    await settle();
  }
}

async function start(): Promise<void> {
  chores.start();
  await settle();
}

describe('the chores', () => {
  it('are done by the holder of their lease alone, but for those that each instance has', async () => {
    lease.holder = 'other';
    await start();
    await pass(3000);
    expect([first.runs, second.runs]).toEqual([0, 0]);
    expect(ofEach.runs).toBeGreaterThan(1);
  });

  it('are taken over once the lease is free', async () => {
    lease.holder = 'other';
    await start();
    lease.holder = null;
    await pass(1000);
    expect(first.runs).toBe(1);
    expect(chores.isHolder).toBe(true);
  });

  it('go on when one of them fails', async () => {
    first.next = () => Promise.reject(storeAway);
    await start();
    await pass(3000);
    expect([first.runs, second.runs]).toEqual([4, 4]);
  });

  it('do not wait for one that is slow, and never run one twice at once', async () => {
    const slow = Promise.withResolvers<void>();
    first.next = () => slow.promise;
    await start();
    await pass(3000);
    expect([first.runs, second.runs]).toEqual([1, 4]);
    slow.resolve();
    await pass(1000);
    expect(first.runs).toBe(2);
  });

  it('keep their own rhythm', async () => {
    const seldom = new FakeChore('seldom', 5000);
    const mine = new Chores(
      options,
      { ofHolder: [seldom], ofEach: [] },
      { lease, uptake, calm, clock, logger: silentLogger },
    );
    mine.start();
    await settle();
    await pass(12_000);
    expect(seldom.runs).toBe(3);
    await mine.stop();
  });

  it('of the kind that can be hurried are done at once, by the holder', async () => {
    let hurried = 0;
    const urgent = Object.assign(new FakeChore('urgent', 30_000), { hurry: () => (hurried += 1) });
    const duties = { ofHolder: [urgent, first], ofEach: [] };
    const mine = new Chores(options, duties, { lease, uptake, calm, clock, logger: silentLogger });
    mine.hurry();
    expect(urgent.runs).toBe(0);
    mine.start();
    await settle();
    mine.hurry();
    expect([urgent.runs, first.runs]).toEqual([2, 1]);
    // While it is under way it is told, and not started beside itself.
    mine.hurry();
    expect([urgent.runs, hurried]).toEqual([2, 2]);
    await mine.stop();
  });

  it('end by our own clock where the lease cannot be renewed, before another may take it', async () => {
    await start();
    lease.isAway = true;
    await pass(7000);
    expect(first.signals.at(-1)?.aborted).toBe(false);
    await pass(1000);
    const { runs } = first;
    expect(first.signals.at(-1)?.aborted).toBe(true);
    await pass(3000);
    expect(first.runs).toBe(runs);
    expect(ofEach.runs).toBeGreaterThan(runs);
    lease.isAway = false;
    await pass(2000);
    expect(first.runs).toBeGreaterThan(runs);
  });

  it('count their tenure from before the renewal was asked for', async () => {
    const answer = Promise.withResolvers<boolean>();
    lease.hold = () => answer.promise;
    await start();
    clock.advance(8001);
    answer.resolve(true);
    await settle();
    expect(first.runs).toBe(0);
  });

  it('end at once where another has taken the lease', async () => {
    await start();
    lease.holder = 'other';
    await pass(1000);
    expect(first.signals[0]?.aborted).toBe(true);
    expect(chores.isHolder).toBe(false);
  });

  it('stop within the statement under way, and let go of the lease', async () => {
    const statement = Promise.withResolvers<void>();
    first.next = () => statement.promise;
    await start();
    let hasStopped = false;
    const stopping = chores.stop().then(() => {
      hasStopped = true;
    });
    await settle();
    expect(first.signals[0]?.aborted).toBe(true);
    expect([hasStopped, lease.holder]).toEqual([false, 'me']);
    statement.resolve();
    await stopping;
    expect(lease.holder).toBeNull();
  });

  it('let go of a lease whose taking had no answer yet when they stopped', async () => {
    const answer = Promise.withResolvers<void>();
    const { hold } = lease;
    lease.hold = async (bootId) => {
      await answer.promise;
      return hold(bootId);
    };
    await start();
    const stopping = chores.stop();
    answer.resolve();
    await stopping;
    expect(lease.holder).toBeNull();
    expect(first.runs).toBe(0);
  });
});

describe('the gauge of unreconciled operations', () => {
  it('says what the holder has counted, and nothing once another is the holder', async () => {
    const metrics = createMetrics();
    const reconciliation = new Reconciliation({
      unreconciled: { countUnreconciled: async () => 7 },
      metrics,
    });
    const tenure = new AbortController();
    const read = async () => /^sluice_unreconciled_operations (\d+)$/m.exec((await metrics.render()).text)?.[1];
    expect(await read()).toBe('0');
    await reconciliation.run(tenure.signal);
    expect(await read()).toBe('7');
    tenure.abort();
    expect(await read()).toBe('0');
  });
});

describe('retention', () => {
  let asked: (string | null)[];
  let pages: (string | null | Error)[];
  /** What each statement takes, by the clock. */
  let statementMs: number;
  let purge: Purge;

  beforeEach(() => {
    asked = [];
    pages = ['a', 'b', null];
    statementMs = 0;
    const retention = {
      purge: async (afterId: string | null) => {
        asked.push(afterId);
        clock.advance(statementMs);
        const nextId = pages.shift() ?? null;
        if (nextId instanceof Error) throw nextId;
        return { purged: 1, nextId };
      },
    };
    purge = new Purge({ everyMs: 30_000, batchSize: 10, minPauseMs: 20 }, { retention, clock, done: uncounted });
  });

  it.each([
    [0, 20],
    [300, 300],
  ])('leaves the database to others for as long as a batch has taken: %d ms, at least %d', async (tookMs, restMs) => {
    statementMs = tookMs;
    const run = purge.run(forever);
    await settle();
    await pass(restMs - 1);
    expect(asked).toEqual([null]);
    await pass(1);
    expect(asked).toEqual([null, 'a']);
    await pass(restMs);
    await run;
    expect(asked).toEqual([null, 'a', 'b']);
  });

  it('ends in the pause when the chores end, and goes on there', async () => {
    const end = new AbortController();
    const run = purge.run(end.signal);
    await settle();
    end.abort();
    await run;
    expect(clock.pendingTimers).toBe(0);
    const again = purge.run(forever);
    await settle();
    await pass(1000);
    await again;
    expect(asked).toEqual([null, 'a', 'b']);
  });

  it('begins anew at the oldest once it has come to the end', async () => {
    pages = [null, null];
    await purge.run(forever);
    await purge.run(forever);
    expect(asked).toEqual([null, null]);
  });

  it('goes on after an error where it was', async () => {
    pages = ['a', storeAway, null];
    const failed = expect(purge.run(forever)).rejects.toBe(storeAway);
    await settle();
    await pass(1000);
    await failed;
    await purge.run(forever);
    expect(asked).toEqual([null, 'a', 'a']);
  });
});
