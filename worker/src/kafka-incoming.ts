import type { KafkaMessage } from 'kafkajs';
import type { IncomingRecord, TopicPartition } from './transport.ts';

export function nameOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`;
}

export function toIncoming(topic: string, partition: number, message: KafkaMessage): IncomingRecord {
  return {
    topic,
    partition,
    offset: BigInt(message.offset),
    timestampMs: Number(message.timestamp),
    key: message.key,
    value: message.value,
    headers: Object.entries(message.headers ?? {}).flatMap(([name, value]) =>
      [value ?? []].flat().map((one): [string, Uint8Array] => [name, Buffer.from(one as Buffer)]),
    ),
  };
}
