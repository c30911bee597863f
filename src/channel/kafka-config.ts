import type { OwnTopics } from './own-topics.ts';

/** Settings of the Kafka channel. Names and units as in the config's group `kafka`. */
export interface KafkaChannelConfig extends KafkaConnectionConfig, OwnTopics {
  /** Boot id of this instance: part of its consumer group's name, which no other instance may have. */
  readonly bootId: string;
  /** Put before group names, with its dot; empty for none. Topic names carry it already. */
  readonly namespace: string;
  /** Create what is missing at start. */
  readonly createTopics: boolean;
  readonly replyPartitions: number;
  readonly commandTopicPartitions: number;
  /** -1: as the brokers say. */
  readonly replicationFactor: number;
  /** Longest timeout of a command and the downtime that is allowed for: what the reply topic must keep at least. */
  readonly minReplyRetentionMs: number;
  /** Of a reply's value. */
  readonly maxResultBytes: number;
  readonly publish: KafkaPublishConfig;
  readonly fetchMaxWaitMs: number;
  readonly fetchMaxBytes: number;
  readonly sessionTimeoutMs: number;
}

export interface KafkaConnectionConfig {
  readonly brokers: readonly string[];
  readonly clientId: string;
  readonly ssl: boolean | { readonly ca?: string; readonly cert?: string; readonly key?: string };
  readonly sasl: KafkaSaslConfig | null;
  readonly connectTimeoutMs: number;
  readonly requestTimeoutMs: number;
}

export interface KafkaSaslConfig {
  readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512';
  readonly username: string;
  readonly password: string;
}

export interface KafkaPublishConfig {
  /** Waiting and in flight together, over all topics. */
  readonly maxPendingRecords: number;
  readonly maxPendingBytes: number;
  /** Of one request, which holds one topic-partition. */
  readonly batchRecords: number;
  readonly batchBytes: number;
  /** First pause before a failed send is repeated; doubles up to `maxBackoffMs`. Default 50 and 1,000. */
  readonly backoffMs?: number;
  readonly maxBackoffMs?: number;
  /** After so long without one success a topic-partition's commands are refused at once. Default 1,000. */
  readonly failFastMs?: number;
  /** So long fresh metadata must say that a topic is gone, or barred to us, before that is definite. Default 30,000. */
  readonly confirmMs?: number;
}
