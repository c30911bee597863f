// What kafkajs does when things go wrong, played by a stand-in: crashes, rejoins and silence.
import type { EachBatchPayload, Kafka } from 'kafkajs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { KafkaConsumer } from '../src/kafka-consumer.ts';
import { silentLogger } from '../src/log.ts';
import type { IncomingRecord, TopicPartition } from '../src/transport.ts';
import { ManualClock, turn } from './support/manual-clock.ts';

class StandIn {
  readonly listeners = new Map<string, (event: { payload: unknown }) => void>();
  readonly seeks: string[] = [];
  readonly paused: unknown[] = [];
  readonly commits: unknown[] = [];
  disconnected = false;
  eachBatch: (payload: EachBatchPayload) => Promise<void> = async () => {};

  on(name: string, listener: (event: { payload: unknown }) => void) {
    this.listeners.set(name, listener);
  }
  async connect() {}
  async subscribe() {
    const failure = failures.shift();
    if (failure) throw failure;
  }
  async disconnect() {
    this.disconnected = true;
  }
  async run(options: { eachBatch: StandIn['eachBatch'] }) {
    this.eachBatch = options.eachBatch;
    this.join('member-1', [0, 1]);
  }
  seek(position: { partition: number; offset: string }) {
    this.seeks.push(`${position.partition}@${position.offset}`);
  }
  pause(topics: unknown[]) {
    this.paused.push(...topics);
  }
  resume() {}

  join(memberId: string, partitions: number[]) {
    this.listeners.get('consumer.group_join')?.({ payload: { memberId, memberAssignment: { t: partitions } } });
  }
  crash() {
    this.listeners.get('consumer.crash')?.({ payload: { error: new Error('crashed'), restart: false } });
  }
  async deliver(partition: number, offset: number, lastOffset = offset) {
    const message = { offset: String(offset), timestamp: '0', key: null, value: null, headers: {} };
    const batch = { topic: 't', partition, messages: [message], lastOffset: () => String(lastOffset) };
    const commitOffsetsIfNecessary = async (offsets: unknown) => void this.commits.push(offsets);
    await this.eachBatch({ batch, isStale: () => false, commitOffsetsIfNecessary } as unknown as EachBatchPayload);
  }
}

let made: StandIn[];
/** Of `subscribe`, one a try. */
let failures: Error[];
let clock: ManualClock;
let records: IncomingRecord[];
let revoked: TopicPartition[];
let consumer: KafkaConsumer;

function create(only?: { topic: string; partition: number; offset: bigint }[]): KafkaConsumer {
  const kafka = {
    consumer() {
      const standIn = new StandIn();
      made.push(standIn);
      return standIn;
    },
  } as unknown as Kafka;
  return new KafkaConsumer({
    kafka,
    topics: ['t'],
    group: 'g',
    onRecords: (batch) => void records.push(...batch),
    onRevoked: (partitions) => void revoked.push(...partitions),
    ...(only && { from: only, onlyThose: true }),
    sessionTimeoutMs: 6_000,
    maxWaitMs: 100,
    maxFetchBytes: 1_000,
    joinTimeoutMs: 1_000,
    clock,
    logger: silentLogger,
  });
}

beforeEach(() => {
  made = [];
  failures = [];
  records = [];
  revoked = [];
  clock = new ManualClock();
});

afterEach(async () => {
  await consumer.close();
  expect(clock.pendingTimers).toBe(0);
});

describe('a consumer of commands', () => {
  const unknownTopic = Object.assign(new Error('unknown'), { type: 'UNKNOWN_TOPIC_OR_PARTITION', retriable: true });

  test('starts, though the broker that it asks has not heard yet of a new topic', async () => {
    failures.push(unknownTopic, unknownTopic);
    consumer = create();
    const started = consumer.start();
    await turn();
    await clock.advance(500);
    await started;
    expect(made.map(({ disconnected }) => disconnected)).toEqual([true, true, false]);
  });

  test('does not start, and says why, where the topic stays unknown or it has no right to it', async () => {
    failures.push(...Array(100).fill(unknownTopic));
    consumer = create();
    const started = consumer.start().catch((error: Error) => error.message);
    await turn();
    await clock.advance(2_000);
    expect(await started).toBe('unknown');
    failures = [Object.assign(new Error('barred'), { type: 'TOPIC_AUTHORIZATION_FAILED', retriable: false })];
    consumer = create();
    await expect(consumer.start()).rejects.toThrow('barred');
  });

  test('after a rejoin goes on where it was, not at what was last committed', async () => {
    consumer = create();
    await consumer.start();
    await made[0]?.deliver(0, 7);
    await made[0]?.deliver(1, 3, 5);
    made[0]?.join('member-1', [0, 1]);
    // The position passes what kafkajs filters out at a batch's end: markers of transactions.
    expect(made[0]?.seeks).toEqual(['0@8', '1@6']);
    expect(revoked).toEqual([]);
  });

  test('reports a partition that was given to another member, and commits it no more', async () => {
    consumer = create();
    await consumer.start();
    await made[0]?.deliver(0, 7);
    await made[0]?.deliver(1, 3);
    made[0]?.join('member-1', [1]);
    expect(revoked).toMatchObject([{ topic: 't', partition: 0 }]);
    await consumer.commit([
      { topic: 't', partition: 0, offset: 8n },
      { topic: 't', partition: 1, offset: 4n },
    ]);
    expect(made[0]?.commits).toEqual([{ topics: [{ topic: 't', partitions: [{ partition: 1, offset: '4' }] }] }]);
  });

  test('as a new member keeps no position: somebody else may have owned the partition in between', async () => {
    consumer = create();
    await consumer.start();
    await made[0]?.deliver(0, 7);
    made[0]?.join('member-2', [0, 1]);
    expect(revoked).toMatchObject([{ topic: 't', partition: 0 }]);
    expect(made[0]?.seeks).toEqual([]);
  });

  test('is built anew after a crash that kafkajs does not come back from', async () => {
    consumer = create();
    await consumer.start();
    await made[0]?.deliver(0, 7);
    made[0]?.crash();
    expect(revoked).toMatchObject([{ topic: 't', partition: 0 }]);
    await turn();
    await clock.advance(200);
    expect(made[0]?.disconnected).toBe(true);
    expect(made).toHaveLength(2);
    await made[1]?.deliver(0, 8);
    expect(records.map((record) => record.offset)).toEqual([7n, 8n]);
  });

  test('is built anew when nothing was fetched for three sessions', async () => {
    consumer = create();
    await consumer.start();
    await clock.advance(18_000);
    expect(made).toHaveLength(1);
    await clock.advance(6_300);
    expect(made).toHaveLength(2);
  });

  test('stays paused over a rejoin', async () => {
    consumer = create();
    await consumer.start();
    consumer.pause();
    made[0]?.join('member-1', [0, 1]);
    expect(made[0]?.paused).toEqual([{ topic: 't' }, { topic: 't' }]);
  });

  test('closed while it is rebuilt ends at once', async () => {
    consumer = create();
    await consumer.start();
    made[0]?.crash();
    await turn();
    await consumer.close();
    expect(made).toHaveLength(1);
  });
});

describe('a consumer of replies', () => {
  test('reads its own partition alone, from the end as it was before the join', async () => {
    consumer = create([{ topic: 't', partition: 1, offset: 40n }]);
    await consumer.start();
    expect(made[0]?.seeks).toEqual(['1@40']);
    expect(made[0]?.paused).toEqual([{ topic: 't', partitions: [0] }]);
  });

  test('loses nothing by a crash: its position is its own, whatever the group says', async () => {
    consumer = create([{ topic: 't', partition: 1, offset: 40n }]);
    await consumer.start();
    await made[0]?.deliver(1, 41);
    made[0]?.crash();
    await turn();
    await clock.advance(200);
    expect(made[1]?.seeks).toEqual(['1@42']);
  });
});
