import { expect, vi } from 'vitest';
import { makeConfig } from '../../src/config.ts';
import type { CommandPublisher, CommandRecord, OwnRecord, PublishReceipt } from '../../src/operations/channel-ports.ts';
import { parseCorrelation } from '../../src/operations/correlation.ts';
import type { Invocation } from '../../src/operations/invocation.ts';
import { ANONYMOUS } from '../../src/operations/operation.ts';
import type { Reply, ReplyKind } from '../../src/operations/reply.ts';
import type { ReplyBatch, ReplySource } from '../../src/replies/ports.ts';
import { silentLogger } from '../../src/runtime/log.ts';
import { createMetrics } from '../../src/runtime/metrics.ts';
import type { Store } from '../../src/store/store.ts';
import { type Core, wireCore } from '../../src/wiring.ts';
import { FakeClock } from './fake-clock.ts';
import { aReply } from './operations.ts';

interface Sent {
  readonly record: CommandRecord;
  readonly ack: PromiseWithResolvers<PublishReceipt>;
}

/** A channel whose every step the test makes: the ack of a command, the arrival of a reply. */
export class HandDrivenChannel implements CommandPublisher, ReplySource {
  readonly topic: string;
  readonly sent: Sent[] = [];
  readonly own: OwnRecord[] = [];
  #onBatch: (batch: ReplyBatch) => Promise<void> | void = () => undefined;
  #offset = 0n;

  constructor(topic: string) {
    this.topic = topic;
  }

  assertFits(): void {}

  publish(record: CommandRecord): Promise<PublishReceipt> {
    const ack = Promise.withResolvers<PublishReceipt>();
    this.sent.push({ record, ack });
    return ack.promise;
  }

  /** Records for topics of our own are taken at once. */
  async send(record: OwnRecord): Promise<PublishReceipt> {
    this.own.push(record);
    return { partition: record.partition ?? 0, offset: BigInt(this.own.length) };
  }

  /** Delivers a reply to the last command, as a worker's would come. */
  reply(kind: ReplyKind, parts: Partial<Reply> = {}): void {
    const { record } = this.sent.at(-1) as Sent;
    const text = record.headers.find(([name]) => name === 'kafka_correlationId')?.[1] as string;
    const correlation = parseCorrelation(text);
    if (correlation === null) throw new Error(`not a correlation id: ${text}`);
    const position = { topic: this.topic, partition: 0, offset: this.#offset };
    const reply = aReply(correlation.operationId, kind, { correlation, position, ...parts });
    this.#offset += 1n;
    void this.#onBatch({ partition: 0, replies: [reply], unreadable: [], nextOffset: this.#offset });
  }

  get endOffset(): bigint {
    return this.#offset;
  }

  partitions = async () => [0];
  bounds = async () => new Map([[0, { start: 0n, end: this.#offset }]]);
  start = async (onBatch: (batch: ReplyBatch) => Promise<void> | void) => {
    this.#onBatch = onBatch;
  };
  readonly canReread = false;
  reread(): never {
    throw new Error('not read again');
  }
  adopt(): void {}
  abandon(): void {}
  trouble(): string | null {
    return null;
  }
  stop = async () => undefined;
}

export interface TestCore extends Core {
  readonly clock: FakeClock;
  readonly channel: HandDrivenChannel;
  readonly store: Store;
  stop(): Promise<void>;
}

let cores = 0;

/** The real core over the real store, with time and channel in the test's hands. */
export async function startCore(store: Store, topic = 'replies'): Promise<TestCore> {
  const clock = new FakeClock();
  const channel = new HandDrivenChannel(topic);
  cores += 1;
  const core = wireCore(makeConfig(), {
    bootId: `boot${cores}`,
    longestTimeoutMs: 60_000,
    contract: { commands: new Map() },
    topics: { replyTopic: topic, deadLetterTopic: 'dead', controlTopic: 'control', eventsTopic: null },
    store,
    channel: {
      publisher: channel,
      replies: channel,
      sender: { send: (record) => channel.send(record) },
      workers: { committed: async () => new Map() },
      ensureTopics: async () => undefined,
      degraded: () => null,
      stop: channel.stop,
    },
    clock,
    metrics: createMetrics(),
    logger: silentLogger,
  });
  await channel.start((batch) => core.loop.onBatch(batch));
  core.leases.start();
  return {
    ...core,
    clock,
    channel,
    store,
    async stop() {
      core.waiters.stop();
      await core.recorder.stop();
      core.changeWriter.stopRepeating();
      await core.dispatcher.stop();
      await core.changeWriter.stop();
      await core.settler.stop();
      await core.forwarder.stop();
      await core.teller.stop();
      await core.leases.stop();
    },
  };
}

/** Lets heartbeats come until the condition holds. */
export function beatUntil({ clock }: TestCore, check: () => void | Promise<void>): Promise<void> {
  // Not async: a check that holds at once must end the wait in the same turn, before another heartbeat.
  const beat = () => {
    clock.advance(500);
    return check();
  };
  return vi.waitFor(beat, { interval: 5 });
}

export function beatUntilHome(core: TestCore): Promise<void> {
  return beatUntil(core, () => expect(core.leases.home()).not.toBeNull());
}

export function anInvocation(parts: Partial<Invocation> = {}): Invocation {
  return {
    command: {
      name: 'test.v1.Test/Do',
      type: 'test.v1.Test.Do',
      policy: {
        topic: 'test',
        waitMs: 1000,
        maxWaitMs: 5000,
        timeoutMs: 60_000,
        onTimeout: 'ACCEPT',
        record: 'AUTO',
        style: 'REPLY',
        replyPartition: 'both',
        maxAttempts: 1,
        redeliverAfterMs: null,
        workerGroup: null,
        ordered: false,
      },
    },
    principal: ANONYMOUS,
    wait: { kind: 'default' },
    key: null,
    value: Buffer.from('{}'),
    contentType: 'application/json',
    hops: 1,
    traceparent: null,
    tracestate: null,
    extraHeaders: [],
    idempotency: null,
    signal: new AbortController().signal,
    ...parts,
  };
}
