// What the channel's conformance suite needs of a bus beside the channel itself: the worker's side of it.
import type { Channel } from '../../src/channel/channel.ts';

export type HeaderList = readonly (readonly [name: string, value: Uint8Array])[];

export interface PlainRecord {
  readonly partition: number;
  readonly offset: bigint;
  readonly key: string | null;
  readonly value: string | null;
  /** By name, values in order: a plain kafkajs consumer tells no more of the order of headers. */
  readonly headers: Readonly<Record<string, readonly string[]>>;
}

export interface ChannelHarness {
  readonly channel: Channel;
  readonly replyTopic: string;
  /** One of Sluice's own; `ensureTopics` has made it. */
  readonly deadLetterTopic: string;
  /** With three partitions; `ensureTopics` was called for it. */
  readonly commandTopic: string;
  /** All that stands on the topic now or comes later, as a plain consumer sees it. */
  watch(topic: string): Promise<readonly PlainRecord[]>;
  /** Appends replies as a worker does; resolves when they are there. */
  reply(partition: number, records: readonly { headers: HeaderList; value: Uint8Array | null }[]): Promise<void>;
  /** Stores a position for a group of workers that reads the topic. */
  commit(group: string, topic: string, partition: number, offset: bigint): Promise<void>;
  close(): Promise<void>;
}

/** Binary values are told by their bytes. */
export function groupHeaders(headers: HeaderList): Record<string, string[]> {
  const grouped: Record<string, string[]> = {};
  for (const [name, value] of headers) {
    grouped[name] ??= [];
    grouped[name].push(Buffer.from(value).toString('latin1'));
  }
  return grouped;
}
