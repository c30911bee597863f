import { beforeEach, describe, expect, it } from 'vitest';
import { Cancellations } from '../../src/chores/cancellations.ts';
import type { Chore } from '../../src/chores/chore.ts';
import { DeadLetters } from '../../src/chores/dead-letters.ts';
import { Lifecycle } from '../../src/chores/lifecycle.ts';
import { OwedSender } from '../../src/chores/owed-sender.ts';
import type { OwedDeadLetter, OwedEvent, OwedRecords } from '../../src/chores/ports.ts';
import { eventOf } from '../../src/operations/events.ts';
import type { Operation } from '../../src/operations/operation.ts';
import { silentLogger } from '../../src/runtime/log.ts';
import { createMetrics, type Metrics } from '../../src/runtime/metrics.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { anOperation, newOperationId } from '../support/operations.ts';
import { busAway, FakeSender, forever, forms, refused, settle, storeAway, uncounted } from './chores-support.ts';

const MAX_LISTED = 4;

/** What operations owe, until it is cleared. */
class FakeOwed implements OwedRecords {
  letters: OwedDeadLetter[] = [];
  cancelled: Operation[] = [];
  events: OwedEvent[] = [];
  minAgeMs: number | null = null;

  listOwedDeadLetters = async (limit: number) => this.letters.slice(0, limit);
  /** A store lists fewer than it is asked for where they are large. */
  listOwedEvents = async (limit: number) => {
    const events = this.events.slice(0, Math.min(limit, MAX_LISTED));
    return { events, hasMore: events.length < this.events.length };
  };
  listOwedCancellations = async (options: { readonly minAgeMs: number; readonly limit: number }) => {
    this.minAgeMs = options.minAgeMs;
    return this.cancelled.slice(0, options.limit);
  };
  clearDeadLetters = async (ids: readonly string[]) => {
    this.letters = this.letters.filter(({ operation }) => !ids.includes(operation.id));
  };
  clearCancellations = async (ids: readonly string[]) => {
    this.cancelled = this.cancelled.filter(({ id }) => !ids.includes(id));
  };
  clearEvents = async (events: readonly Pick<OwedEvent, 'operationId' | 'number'>[]) => {
    const names = events.map(({ operationId, number }) => `${operationId}.${number}`);
    this.events = this.events.filter(({ operationId, number }) => !names.includes(`${operationId}.${number}`));
  };

  addLetter(): string {
    const operation = anOperation({ state: 'expired' });
    const record = { topic: 'orders', key: new Uint8Array(), value: new Uint8Array(2), headers: [] };
    this.letters.push({ operation, record, history: [] });
    return operation.id;
  }

  addEvents(count: number): string {
    const operationId = newOperationId();
    for (let number = 1; number <= count; number += 1) {
      this.events.push({ operationId, command: 'c', number, late: false, event: eventOf('progressed', 0) });
    }
    return operationId;
  }
}

let owed: FakeOwed;
let sender: FakeSender;
let clock: FakeClock;
let metrics: Metrics;
let deps: ConstructorParameters<typeof DeadLetters>[1];
const options = { everyMs: 1000, batchSize: 10 };

beforeEach(() => {
  owed = new FakeOwed();
  sender = new FakeSender();
  clock = new FakeClock();
  metrics = createMetrics();
  const counters = {
    done: metrics.counter('done', 'done', ['chore']),
    refused: metrics.counter('refused', 'refused', ['chore']),
  };
  const owedSender = new OwedSender({ sender, clock, logger: silentLogger, counters });
  deps = { owed, forms, sender: owedSender, done: uncounted };
});

const countRefused = async (chore: string) => (await metrics.render()).text.includes(`refused{chore="${chore}"} 1`);

describe('dead letters', () => {
  let chore: DeadLetters;
  beforeEach(() => {
    chore = new DeadLetters(options, deps);
  });

  it('are owed until the broker has them', async () => {
    const id = owed.addLetter();
    sender.answer = () => busAway;
    await expect(chore.run(forever)).rejects.toBe(busAway);
    expect(owed.letters).toHaveLength(1);
    sender.answer = () => 'ack';
    await chore.run(forever);
    expect(owed.letters).toEqual([]);
    expect(sender.keys).toEqual([id, id]);
  });

  it('are sent without their value where they are refused for good', async () => {
    owed.addLetter();
    sender.answer = ({ value }) => (value === null ? 'ack' : refused);
    await chore.run(forever);
    expect(sender.sends.at(-1)?.record.value).toBeNull();
    expect(owed.letters).toEqual([]);
    expect(await countRefused('dead-letters')).toBe(false);
  });

  it('are counted and owed no more where they are refused again', async () => {
    owed.addLetter();
    sender.answer = () => refused;
    await chore.run(forever);
    expect(sender.sends).toHaveLength(2);
    expect(owed.letters).toEqual([]);
    expect(await countRefused('dead-letters')).toBe(true);
  });

  it('that cannot be sent keep no other from being sent', async () => {
    const stuck = owed.addLetter();
    owed.addLetter();
    sender.answer = ({ key }) => (new TextDecoder().decode(key as Uint8Array) === stuck ? busAway : 'ack');
    await expect(chore.run(forever)).rejects.toBe(busAway);
    expect(owed.letters.map(({ operation }) => operation.id)).toEqual([stuck]);
  });

  it('are sent again where the store did not take the mark', async () => {
    const id = owed.addLetter();
    const { clearDeadLetters } = owed;
    owed.clearDeadLetters = () => Promise.reject(storeAway);
    await expect(chore.run(forever)).rejects.toBe(storeAway);
    owed.clearDeadLetters = clearDeadLetters;
    await chore.run(forever);
    expect(sender.keys).toEqual([id, id]);
  });

  it('of more than one batch go in one look', async () => {
    for (let count = 0; count < 25; count += 1) owed.addLetter();
    await chore.run(forever);
    expect(owed.letters).toEqual([]);
  });
});

describe('owed cancellations', () => {
  it('are told of once the canceller had its time, and are then owed no more', async () => {
    owed.cancelled.push(anOperation({ state: 'cancelled' }));
    const [id] = owed.cancelled.map((operation) => operation.id);
    await new Cancellations(options, deps).run(forever);
    expect(sender.keys).toEqual([id]);
    expect(owed.cancelled).toEqual([]);
    expect(owed.minAgeMs).toBeGreaterThan(0);
  });

  it('stay owed while the bus is away', async () => {
    owed.cancelled.push(anOperation({ state: 'cancelled' }));
    sender.answer = () => busAway;
    await expect(new Cancellations(options, deps).run(forever)).rejects.toBe(busAway);
    expect(owed.cancelled).toHaveLength(1);
  });

  it('that are refused for good are counted and owed no more', async () => {
    owed.cancelled.push(anOperation({ state: 'cancelled' }));
    sender.answer = () => refused;
    await new Cancellations(options, deps).run(forever);
    expect(owed.cancelled).toEqual([]);
    expect(await countRefused('cancellations')).toBe(true);
  });
});

describe('lifecycle events', () => {
  let chore: Lifecycle;
  beforeEach(() => {
    chore = new Lifecycle(options, deps);
  });

  it('of one operation are sent one after the other, those of others beside them', async () => {
    const first = owed.addEvents(2);
    const second = owed.addEvents(1);
    sender.answer = () => 'wait';
    const run = chore.run(forever);
    await settle();
    expect(sender.keys).toEqual([`${first}.1`, `${second}.1`]);
    for (const { ack } of sender.sends) ack.resolve({ partition: 0, offset: 0n });
    await settle();
    expect(sender.keys).toEqual([`${first}.1`, `${second}.1`, `${first}.2`]);
    sender.sends.at(-1)?.ack.resolve({ partition: 0, offset: 0n });
    await run;
    expect(owed.events).toEqual([]);
  });

  it('are all sent in one look, however many they are', async () => {
    const ids = Array.from({ length: 100 }, () => owed.addEvents(2));
    await chore.run(forever);
    expect(owed.events).toEqual([]);
    expect(sender.keys.toSorted()).toEqual(ids.flatMap((id) => [`${id}.1`, `${id}.2`]).toSorted());
  });

  it('behind one that was not taken stay owed with it, in order', async () => {
    const id = owed.addEvents(3);
    sender.answer = ({ key }) => (new TextDecoder().decode(key as Uint8Array) === `${id}.2` ? busAway : 'ack');
    await expect(chore.run(forever)).rejects.toBe(busAway);
    expect(owed.events.map(({ number }) => number)).toEqual([2, 3]);
    expect(sender.keys).toEqual([`${id}.1`, `${id}.2`]);
  });

  it('that are refused for good hold up none behind them', async () => {
    const id = owed.addEvents(2);
    sender.answer = ({ key }) => (new TextDecoder().decode(key as Uint8Array) === `${id}.1` ? refused : 'ack');
    await chore.run(forever);
    expect(owed.events).toEqual([]);
    expect(await countRefused('lifecycle')).toBe(true);
  });
});

describe('whatever is owed', () => {
  it.each<[string, () => Chore]>([
    ['dead letters', () => new DeadLetters(options, deps)],
    ['cancellations', () => new Cancellations(options, deps)],
    ['lifecycle events', () => new Lifecycle(options, deps)],
  ])('waits for the bus within a bound, and not at all once the chores end: %s', async (_, make) => {
    owed.addLetter();
    owed.addEvents(1);
    owed.cancelled.push(anOperation({ state: 'cancelled' }));
    sender.answer = () => 'wait';
    const end = new AbortController();
    const run = make().run(end.signal);
    await settle();
    expect(sender.sends).toHaveLength(1);
    expect(sender.sends[0]?.giveUpAtMs).toBeLessThan(clock.monotonicMs() + 60_000);
    end.abort();
    await expect(run).rejects.toThrow('given up');
    expect([owed.letters, owed.cancelled, owed.events].map(({ length }) => length)).toEqual([1, 1, 1]);
  });
});
