import type { KafkaConfig, SASLOptions } from 'kafkajs';
import type { Clock } from './clock.ts';
import type { Logger } from './log.ts';

export interface KafkaSettings {
  /** `host:port`, … */
  readonly brokers: readonly string[];
  readonly clientId?: string;
  /** True, or the options of `tls.connect`. */
  readonly ssl?: NonNullable<KafkaConfig['ssl']>;
  readonly sasl?: SASLOptions;
  /** Whether topics that are missing are made, and how. Default: not made, and their absence is an error at start. */
  readonly createTopics?: false | { readonly partitions: number; readonly replicationFactor?: number };
  /**
   * Default 10,000. A worker that is silent this long, because it was killed or its event loop stands still, loses its
   * partitions to others of its group.
   */
  readonly sessionTimeoutMs?: number;
  /** How long the broker may hold back an empty fetch. Default 500. */
  readonly maxWaitMs?: number;
  /** Bytes of one fetch, and of one partition in it, at the most (but one record always fits). Default 1 MiB. */
  readonly maxFetchBytes?: number;
  /** Records handed to `send` and not acknowledged. Default 20,000. */
  readonly maxPendingRecords?: number;
  /** How long an unknown topic or a missing right is repeated: a broker that just restarted says so too. Default 30,000. */
  readonly refusedAfterMs?: number;
  /** How long a start repeats its questions to brokers that are not up yet, or do not know of a new topic yet. Default 120,000. */
  readonly startTimeoutMs?: number;
  /** How long `start` waits for the group. Default 60,000. */
  readonly joinTimeoutMs?: number;
  readonly logger?: Logger;
  readonly clock?: Clock;
}
