import { describe, expect, it, vi } from 'vitest';
import { createMemoryChannel } from '../../src/channel/memory.ts';
import { MemoryBroker } from '../../src/channel/memory-broker.ts';
import type { LogBounds, StoredRecord } from '../../src/channel/memory-log.ts';
import { type Clock, systemClock } from '../../src/runtime/clock.ts';
import { silentLogger } from '../../src/runtime/log.ts';

const encoder = new TextEncoder();
const record = (text: string, key: string | null = null) => ({
  key: key === null ? null : encoder.encode(key),
  value: encoder.encode(text),
  headers: [],
});
const textOf = (stored: StoredRecord) => Buffer.from(stored.value ?? []).toString();

function makeBroker(
  bounds: LogBounds = { maxRecords: 10, maxBytes: 10_000 },
  clock: Clock = systemClock,
): MemoryBroker {
  const broker = new MemoryBroker({ clock, partitionBounds: bounds, maxRecordBytes: 5000 });
  broker.createTopic('t', 2);
  return broker;
}

describe('a group on the in-process broker', () => {
  it('never runs a consumer inside an append', async () => {
    const broker = makeBroker();
    const seen: string[] = [];
    broker.subscribe({ topics: ['t'], group: 'g', onRecords: (records) => void seen.push(...records.map(textOf)) });
    broker.append('t', 0, record('a'));
    expect(seen).toEqual([]);
    await vi.waitFor(() => expect(seen).toEqual(['a']));
  });

  it('shares the partitions among its members, and gives what was not committed to who takes over', async () => {
    const broker = makeBroker();
    const seen: [string, string][] = [];
    const join = (name: string) =>
      broker.subscribe({
        topics: ['t'],
        group: 'g',
        onRecords: (records) => void seen.push(...records.map((each): [string, string] => [name, textOf(each)])),
      });
    const one = join('one');
    const two = join('two');
    for (const partition of [0, 1])
      for (const text of ['a', 'b']) broker.append('t', partition, record(`${text}${partition}`));
    await vi.waitFor(() => expect(seen).toHaveLength(4));
    const [ownerOfZero, other] = seen.find(([, text]) => text === 'a0')![0] === 'one' ? [one, two] : [two, one];
    expect(new Set(seen.map(([name]) => name)).size).toBe(2);
    await ownerOfZero.commit([{ topic: 't', partition: 0, offset: 1n }]);
    seen.length = 0;
    await ownerOfZero.close();
    await vi.waitFor(() => expect(seen.map(([, text]) => text)).toEqual(['b0']));
    await other.close();
    expect(broker.committed('g', 't', 0)).toBe(1n);
  });

  it('begins again at the committed position when a member comes back', async () => {
    const broker = makeBroker();
    for (const text of ['a', 'b', 'c']) broker.append('t', 0, record(text));
    const first: string[] = [];
    const subscription = broker.subscribe({
      topics: ['t'],
      group: 'g',
      onRecords: (list) => void first.push(...list.map(textOf)),
    });
    await vi.waitFor(() => expect(first).toHaveLength(3));
    await subscription.commit([{ topic: 't', partition: 0, offset: 2n }]);
    await subscription.close();
    await subscription.commit([{ topic: 't', partition: 0, offset: 3n }]);
    const second: string[] = [];
    broker.subscribe({ topics: ['t'], group: 'g', onRecords: (list) => void second.push(...list.map(textOf)) });
    await vi.waitFor(() => expect(second).toEqual(['c']));
    await broker.close();
  });

  it('tells a member which partitions it has lost', () => {
    const broker = makeBroker();
    const revoked: number[] = [];
    const onRecords = () => undefined;
    const onRevoked = (lost: readonly { partition: number }[]) =>
      void revoked.push(...lost.map((each) => each.partition));
    broker.subscribe({ topics: ['t'], group: 'g', onRecords, onRevoked });
    broker.subscribe({ topics: ['t'], group: 'g', onRecords });
    expect(revoked).toEqual([1]);
  });

  it('gives records again to a consumer that threw, after a while', async () => {
    const timers: (() => void)[] = [];
    const setTimer = (run: () => void) => {
      timers.push(run);
      return () => undefined;
    };
    const clock: Clock = { ...systemClock, setTimer };
    const broker = makeBroker(undefined, clock);
    const seen: string[] = [];
    broker.subscribe({
      topics: ['t'],
      group: 'g',
      onRecords: (records) => {
        seen.push(...records.map(textOf));
        if (seen.length === 1) throw new Error('not now');
      },
    });
    broker.append('t', 0, record('a'));
    await vi.waitFor(() => expect(timers).toHaveLength(1));
    expect(seen).toEqual(['a']);
    timers[0]!();
    await vi.waitFor(() => expect(seen).toEqual(['a', 'a']));
  });

  it('delivers nothing while paused', async () => {
    const broker = makeBroker();
    const seen: string[] = [];
    const subscription = broker.subscribe({
      topics: ['t'],
      group: 'g',
      onRecords: (list) => void seen.push(...list.map(textOf)),
    });
    subscription.pause();
    broker.append('t', 0, record('a'));
    const other: string[] = [];
    broker.subscribe({ topics: ['t'], group: 'other', onRecords: (list) => void other.push(...list.map(textOf)) });
    await vi.waitFor(() => expect(other).toEqual(['a']));
    expect(seen).toEqual([]);
    subscription.resume();
    await vi.waitFor(() => expect(seen).toEqual(['a']));
  });
});

describe('a partition in memory', () => {
  it('drops the oldest where nobody needs them', () => {
    const broker = makeBroker({ maxRecords: 3, maxBytes: 10_000 });
    for (let index = 0; index < 10; index += 1) broker.append('t', 0, record(String(index)));
    expect(broker.bounds('t', 0)).toEqual({ start: 7n, end: 10n });
  });

  it('is bounded in bytes too', () => {
    const broker = makeBroker({ maxRecords: 100, maxBytes: 1000 });
    for (let index = 0; index < 10; index += 1) broker.append('t', 0, record('x'.repeat(300)));
    const { start, end } = broker.bounds('t', 0);
    expect([start, end]).toEqual([8n, 10n]);
  });

  it('keeps few of those that all have read, and all that somebody has yet to read', async () => {
    const broker = makeBroker({ passedRecords: 2, maxRecords: 100, maxBytes: 100_000 });
    const subscription = broker.subscribe({ topics: ['t'], group: 'g', onRecords: () => undefined });
    for (let index = 0; index < 10; index += 1) broker.append('t', 0, record(String(index)));
    expect(broker.bounds('t', 0)).toEqual({ start: 0n, end: 10n });
    await subscription.commit([{ topic: 't', partition: 0, offset: 10n }]);
    broker.append('t', 0, record('next'));
    expect(broker.bounds('t', 0)).toEqual({ start: 9n, end: 11n });
    await subscription.close();
  });

  it('refuses records rather than lose one that a worker has not done', async () => {
    const broker = makeBroker({ maxRecords: 3, maxBytes: 10_000 });
    const subscription = broker.subscribe({ topics: ['t'], group: 'g', onRecords: () => undefined });
    for (const text of ['a', 'b', 'c']) broker.append('t', 0, record(text));
    const channel = createMemoryChannel({
      broker,
      replyTopic: 'r',
      deadLetterTopic: 'd',
      controlTopic: 'c',
      eventsTopic: null,
      replyPartitions: 1,
      commandPartitions: 1,
      maxResultBytes: 1,
      logger: silentLogger,
    });
    // The key whose hash is even goes to partition 0.
    const full = { topic: 't', key: encoder.encode('21'), value: encoder.encode('d'), headers: [] };
    await expect(channel.publisher.publish(full, 0)).rejects.toMatchObject({
      problem: 'overloaded',
      certainlyNotSent: true,
      definite: false,
    });
    await subscription.commit([{ topic: 't', partition: 0, offset: 1n }]);
    await expect(channel.publisher.publish(full, 0)).resolves.toEqual({ partition: 0, offset: 3n });
    await broker.close();
    await expect(channel.publisher.publish(full, 0)).rejects.toMatchObject({
      problem: 'unreachable',
      certainlyNotSent: true,
    });
  });

  it('refuses a record over the bound', () => {
    expect(() => makeBroker().append('t', 0, record('x'.repeat(6000)))).toThrow(/at most 5000/);
  });
});
