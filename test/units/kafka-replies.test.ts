import type { ConsumerRunConfig, EachBatchPayload, KafkaMessage } from 'kafkajs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { KafkaClient } from '../../src/channel/kafka-client.ts';
import { KafkaReplySource } from '../../src/channel/kafka-replies.ts';
import { formatCorrelation } from '../../src/operations/correlation.ts';
import type { ReplyBatch } from '../../src/replies/ports.ts';
import { silentLogger } from '../../src/runtime/log.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { makeKafkaConfig } from '../support/kafka-channel.ts';

const correlation = formatCorrelation({
  operationId: '01890a5d-ac96-774b-bcce-b302099a8057',
  homePartition: 0,
  unrecordedBy: null,
});

/** kafkajs's consumer at its boundary: what was asked of it, and events at the test's word. */
class FakeConsumer {
  readonly events = { GROUP_JOIN: 'join', FETCH: 'fetch', CRASH: 'crash', END_BATCH_PROCESS: 'end' };
  readonly options: Record<string, unknown>;
  readonly asked: string[] = [];
  readonly #listeners = new Map<string, (event: { payload: object }) => void>();
  runOptions: ConsumerRunConfig | null = null;
  isDisconnected = false;
  connectError: Error | null = null;

  constructor(options: Record<string, unknown>) {
    this.options = options;
  }
  on(name: string, listener: (event: { payload: object }) => void): void {
    this.#listeners.set(name, listener);
  }
  emit(name: string, payload: object = {}): void {
    this.#listeners.get(name)?.({ payload });
  }
  async connect(): Promise<void> {
    if (this.connectError) throw this.connectError;
    if (connecting) await connecting;
  }
  async subscribe(options: object): Promise<void> {
    this.asked.push(`subscribe ${JSON.stringify(options)}`);
  }
  async run(options: ConsumerRunConfig): Promise<void> {
    this.runOptions = options;
  }
  seek({ partition, offset }: { partition: number; offset: string }): void {
    this.asked.push(`seek ${partition}@${offset}`);
  }
  pause([{ partitions }]: [{ partitions: number[] }]): void {
    this.asked.push(`pause ${partitions}`);
  }
  resume([{ partitions }]: [{ partitions: number[] }]): void {
    this.asked.push(`resume ${partitions}`);
  }
  async disconnect(): Promise<void> {
    this.isDisconnected = true;
  }
  join(): void {
    this.emit('join', { memberAssignment: { [config.replyTopic]: [0, 1, 2, 3] } });
  }
  async give(
    partition: number,
    offsets: number[],
    options: { isStale?: boolean; lastOffset?: number } = {},
  ): Promise<void> {
    const messages = offsets.map((offset) => ({
      offset: String(offset),
      timestamp: '1',
      key: null,
      value: Buffer.from(String(offset)),
      headers: { kafka_correlationId: Buffer.from(correlation) },
    }));
    await this.runOptions!.eachBatch!({
      batch: {
        topic: config.replyTopic,
        partition,
        messages: messages as unknown as KafkaMessage[],
        lastOffset: () => String(options.lastOffset ?? offsets.at(-1)),
      },
      isStale: () => options.isStale ?? false,
      resolveOffset: (offset: string) => void this.asked.push(`resolve ${partition}@${offset}`),
    } as unknown as EachBatchPayload);
  }
}

const config = { ...makeKafkaConfig([]), namespace: 'ns.', replyTopic: 'ns.replies', bootId: 'me' };
let clock: FakeClock;
let consumers: FakeConsumer[];
let connectError: Error | null;
let connecting: Promise<void> | null;
let source: KafkaReplySource;
let batches: ReplyBatch[];
let hold: Promise<void> | undefined;
let isReachable: boolean;
const newest = () => consumers.at(-1)!;
const settleAll = async () => {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
};
const textOf = (batch: ReplyBatch) => batch.replies.map((reply) => Buffer.from(reply.value!).toString()).join();

beforeEach(async () => {
  clock = new FakeClock();
  consumers = [];
  connectError = null;
  connecting = null;
  batches = [];
  hold = undefined;
  isReachable = true;
  const createClient = () =>
    ({
      kafka: {
        consumer: (options: Record<string, unknown>) => {
          const consumer = new FakeConsumer(options);
          consumer.connectError = connectError;
          consumers.push(consumer);
          return consumer;
        },
      },
      close: () => undefined,
    }) as unknown as KafkaClient;
  source = new KafkaReplySource(config, {
    createClient,
    clock,
    logger: silentLogger,
    admin: { ask: async () => [] as never, forget: () => undefined },
    isReachable: async () => isReachable,
    catalog: { lookUp: async () => ({ partitionCount: 4, brokerCount: 1, replicas: 1 }) },
  });
  source.adopt(1, 10n);
  await source.start((batch) => {
    batches.push(batch);
    return hold;
  });
  await settleAll();
});
afterEach(async () => {
  await source.stop();
  expect(clock.pendingTimers).toBe(0);
});

describe('the reply consumer', () => {
  it('commits nothing by itself, creates no topic, reads from the beginning, fetches with patience', () => {
    expect(newest().options).toMatchObject({
      groupId: 'ns.sluice-replies-me',
      allowAutoTopicCreation: false,
      maxWaitTimeInMs: 250,
      sessionTimeout: 6000,
    });
    expect(newest().asked).toEqual(['subscribe {"topics":["ns.replies"],"fromBeginning":true}']);
    expect(newest().runOptions).toMatchObject({ autoCommit: false, eachBatchAutoResolve: false });
  });

  it('is placed at its positions at every join, the partitions that are not read paused', async () => {
    newest().asked.length = 0;
    newest().join();
    expect(newest().asked).toEqual(['seek 1@10', 'pause 0,2,3', 'resume 1']);
    await newest().give(1, [10, 11]);
    source.adopt(3, 5n);
    newest().asked.length = 0;
    newest().join();
    expect(newest().asked).toEqual(['seek 1@12', 'seek 3@5', 'pause 0,2', 'resume 1,3']);
  });

  it('adopts by seek and resume, abandons by pause', () => {
    newest().join();
    newest().asked.length = 0;
    source.adopt(2, 7n);
    source.abandon(2);
    expect(newest().asked).toEqual(['seek 2@7', 'resume 2', 'pause 2']);
  });

  it('passes batches that were filtered out whole, but not one from before a move back', async () => {
    newest().join();
    newest().emit('end', { partition: 1, batchSize: 0, firstOffset: '10', lastOffset: '12' });
    expect(batches).toEqual([{ partition: 1, replies: [], unreadable: [], nextOffset: 13n }]);
    source.adopt(1, 2n);
    newest().emit('end', { partition: 1, batchSize: 0, firstOffset: '13', lastOffset: '14' });
    newest().emit('end', { partition: 1, batchSize: 3, firstOffset: '2', lastOffset: '4' });
    newest().emit('end', { partition: 0, batchSize: 0, firstOffset: '0', lastOffset: '4' });
    expect(batches).toHaveLength(1);
    newest().asked.length = 0;
    newest().join();
    expect(newest().asked[0]).toBe('seek 1@2');
  });

  it('counts commit markers after the last reply as read', async () => {
    newest().join();
    await newest().give(1, [10, 11], { lastOffset: 12 });
    expect(batches[0]?.nextOffset).toBe(13n);
    expect(newest().asked.at(-1)).toBe('resolve 1@12');
  });

  it('drops what was fetched before a partition was moved or given up', async () => {
    newest().join();
    await newest().give(1, [10], { isStale: true });
    source.abandon(1);
    await newest().give(1, [10]);
    await newest().give(0, [1]);
    expect(batches).toEqual([]);
  });
});

describe('a partition whose batches are not taken', () => {
  it('is paused alone when four wait, and read on from where it stood when they are taken', async () => {
    newest().join();
    source.adopt(0, 0n);
    let release = () => {};
    hold = new Promise((resolve) => {
      release = resolve;
    });
    newest().asked.length = 0;
    for (const offset of [10, 11, 12, 13]) await newest().give(1, [offset]);
    expect(newest().asked.filter((line) => line.startsWith('pause'))).toEqual([]);
    await newest().give(1, [14]);
    expect(newest().asked.at(-1)).toBe('pause 1');
    expect(batches.map(textOf)).toEqual(['10']);
    hold = undefined;
    await newest().give(0, [0]);
    expect(batches.map(textOf)).toEqual(['10', '0']);
    release();
    await settleAll();
    expect(batches.map(textOf)).toEqual(['10', '0', '11', '12', '13', '14']);
    expect(newest().asked.slice(-2)).toEqual(['seek 1@15', 'resume 1']);
  });

  it('stays paused over a rejoin', async () => {
    newest().join();
    hold = new Promise(() => {});
    for (const offset of [10, 11, 12, 13, 14]) await newest().give(1, [offset]);
    newest().asked.length = 0;
    newest().join();
    expect(newest().asked).toEqual(['pause 0,1,2,3', 'resume ']);
  });

  it('goes on after the reply loop threw', async () => {
    newest().join();
    hold = Promise.reject(new Error('a defect'));
    await newest().give(1, [10]);
    hold = undefined;
    await settleAll();
    await newest().give(1, [11]);
    expect(batches.map(textOf)).toEqual(['10', '11']);
  });
});

describe('a consumer that fails', () => {
  it('is rebuilt after a crash that kafkajs never recovers from, and placed anew', async () => {
    newest().join();
    await newest().give(1, [10]);
    expect(source.trouble()).toBeNull();
    const crashed = newest();
    crashed.emit('crash', { error: new Error('not implemented'), restart: false });
    expect(source.trouble()).toMatch(/being rebuilt: not implemented/);
    await settleAll();
    expect(crashed.isDisconnected).toBe(true);
    clock.advance(250);
    await settleAll();
    expect(consumers).toHaveLength(2);
    newest().join();
    expect(newest().asked).toContain('seek 1@11');
    expect(source.trouble()).toBeNull();
    crashed.emit('crash', { error: new Error('late'), restart: false });
    expect(source.trouble()).toBeNull();
  });

  it('leaves restarts to nobody else: kafkajs is told not to', async () => {
    const { restartOnFailure } = newest().options['retry'] as { restartOnFailure: () => Promise<boolean> };
    await expect(restartOnFailure()).resolves.toBe(false);
  });

  it('is rebuilt when it has not fetched for three sessions', async () => {
    newest().join();
    clock.advance(12_000);
    newest().emit('fetch');
    clock.advance(12_000);
    expect(consumers).toHaveLength(1);
    clock.advance(6_000);
    await settleAll();
    expect([source.trouble(), source.outage()]).toEqual([expect.stringMatching(/no fetch for 18000 ms/), null]);
    clock.advance(250);
    await settleAll();
    expect(consumers).toHaveLength(2);
  });

  it('is not the one to blame for its silence where the brokers answer nobody', async () => {
    newest().join();
    isReachable = false;
    clock.advance(18_000);
    await settleAll();
    expect([source.trouble(), source.outage()]).toEqual([null, expect.stringMatching(/no fetch/)]);
    clock.advance(250);
    await settleAll();
    expect(consumers).toHaveLength(2);
    // The brokers are back: it has some sessions to join before that is held against it.
    isReachable = true;
    const troubles: boolean[] = [];
    for (let session = 0; session < 3; session += 1) {
      clock.advance(6_000);
      await settleAll();
      troubles.push(source.trouble() !== null);
    }
    expect(troubles).toEqual([false, false, true]);
    newest().join();
    expect([source.trouble(), source.outage()]).toEqual([null, null]);
  });

  it('says at a start without an answer that Kafka does not answer, and that it has not joined where it does', async () => {
    expect([source.trouble(), source.outage()]).toEqual([expect.stringMatching(/has not joined yet/), null]);
    isReachable = false;
    clock.advance(6_000);
    await settleAll();
    expect([source.trouble(), source.outage()]).toEqual([null, 'Kafka does not answer']);
    isReachable = true;
    for (let session = 0; session < 3; session += 1) {
      clock.advance(6_000);
      await settleAll();
    }
    expect([source.trouble(), source.outage()]).toEqual([expect.stringMatching(/not joined|no fetch/), null]);
  });

  it('that was given up while it was connecting joins no more', async () => {
    let connect = () => {};
    connecting = new Promise((resolve) => {
      connect = resolve;
    });
    newest().emit('crash', { error: new Error('x'), restart: false });
    clock.advance(250);
    await settleAll();
    const stopped = source.stop();
    connect();
    await stopped;
    await settleAll();
    expect(consumers).toHaveLength(2);
    expect(newest().asked).toEqual([]);
  });

  it('is tried again for as long as it takes, and an outage of Kafka is not its own trouble', async () => {
    connectError = Object.assign(new Error('connect ECONNREFUSED'), { name: 'KafkaJSConnectionError' });
    newest().emit('crash', { error: connectError, restart: true });
    for (let round = 0; round < 6; round += 1) {
      await settleAll();
      clock.advance(5000);
    }
    await settleAll();
    expect(consumers.length).toBeGreaterThan(5);
    expect(source.trouble()).toBeNull();
    expect(source.outage()).toMatch(/ECONNREFUSED/);
    connectError = null;
    clock.advance(5000);
    await settleAll();
    newest().join();
    expect([source.trouble(), source.outage()]).toEqual([null, null]);
  });
});

describe('a second reader', () => {
  const reread = (partition: number, fromOffset: bigint, taken: ReplyBatch[], until?: Promise<void>) =>
    source.reread(partition, fromOffset, (batch) => {
      taken.push(batch);
      return until;
    });

  it('has a group of its own, reads one partition from where it was asked to, and leaves the first reader alone', async () => {
    newest().join();
    const first = newest();
    first.asked.length = 0;
    const taken: ReplyBatch[] = [];
    const second = reread(1, 3n, taken);
    await settleAll();
    expect(newest().options).toMatchObject({ groupId: 'ns.sluice-replies-me-reread-1', allowAutoTopicCreation: false });
    expect(newest().asked).toEqual(['subscribe {"topics":["ns.replies"],"fromBeginning":true}']);
    expect(newest().runOptions).toMatchObject({ autoCommit: false, eachBatchAutoResolve: false });
    newest().emit('join', { memberAssignment: { [config.replyTopic]: [1] } });
    expect(newest().asked.slice(1)).toEqual(['seek 1@3', 'pause ', 'resume 1']);
    await newest().give(1, [3, 4]);
    expect(taken.map(textOf)).toEqual(['3,4']);
    expect([batches, first.asked]).toEqual([[], []]);
    await second.stop();
    expect([newest().isDisconnected, first.isDisconnected]).toEqual([true, false]);
  });

  it('waits for each batch, is rebuilt where it stood after a crash, and delivers nothing after its stop', async () => {
    newest().join();
    let release = () => {};
    const taken: ReplyBatch[] = [];
    const second = reread(
      2,
      0n,
      taken,
      new Promise((resolve) => {
        release = resolve;
      }),
    );
    await settleAll();
    const crashing = newest();
    crashing.emit('join', { memberAssignment: { [config.replyTopic]: [2] } });
    for (const offset of [0, 1, 2, 3, 4, 5]) await crashing.give(2, [offset]);
    expect(taken.map(textOf)).toEqual(['0']);
    expect(crashing.asked.at(-2)).toBe('pause 2');
    release();
    await settleAll();
    expect(taken.map(textOf)).toEqual(['0', '1', '2', '3', '4', '5']);
    crashing.emit('crash', { error: new Error('x'), restart: false });
    await settleAll();
    clock.advance(250);
    await settleAll();
    expect(newest().options).toMatchObject({ groupId: 'ns.sluice-replies-me-reread-1' });
    newest().emit('join', { memberAssignment: { [config.replyTopic]: [2] } });
    expect(newest().asked).toContain('seek 2@6');
    await second.stop();
    await newest().give(2, [6]);
    expect(taken).toHaveLength(6);
  });

  it('is stopped with the source', async () => {
    reread(1, 0n, []);
    await settleAll();
    const second = newest();
    await source.stop();
    expect(second.isDisconnected).toBe(true);
  });
});

describe('partitions that were added', () => {
  it('are adopted before the consumer has seen them, and read when it joins anew', async () => {
    newest().join();
    newest().asked.length = 0;
    source.adopt(4, 0n);
    expect(newest().asked).toEqual([]);
    newest().emit('join', { memberAssignment: { [config.replyTopic]: [0, 1, 2, 3, 4] } });
    expect(newest().asked).toContain('seek 4@0');
    expect(newest().options).toMatchObject({ metadataMaxAge: 10_000 });
  });
});
