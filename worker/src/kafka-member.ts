import type { Cluster, Consumer } from 'kafkajs';
import type { KafkaConsumerOptions } from './kafka-consumer.ts';
import { assignAllToEach, leaveGroup } from './kafka-membership.ts';
import { shareAmongSubscribers } from './kafka-sharing.ts';

export interface KafkaMember {
  readonly consumer: Consumer;
  /** Takes a member out of the group in its own place; once connected. */
  leaveFor(memberId: string): Promise<void>;
}

const MAX_HEARTBEAT_MS = 1_000;
/** So long a partition that is added goes unread. */
const METADATA_AGE_MS = 30_000;

/** One life of a consumer as kafkajs has it, not connected yet. */
export function createMember(options: KafkaConsumerOptions): KafkaMember {
  const { kafka, group, from, sessionTimeoutMs, maxWaitMs, maxFetchBytes, logger } = options;
  const assigners = from ? [assignAllToEach] : shareAmongSubscribers(logger);
  let cluster: Cluster | undefined;
  const consumer = kafka.consumer({
    groupId: group,
    partitionAssigners: assigners.map((assigner) => (config) => {
      cluster = config.cluster;
      return assigner(config);
    }),
    sessionTimeout: sessionTimeoutMs,
    // It is by its heartbeat that a member learns that the group waits for it.
    heartbeatInterval: Math.ceil(Math.min(sessionTimeoutMs / 10, MAX_HEARTBEAT_MS)),
    rebalanceTimeout: sessionTimeoutMs * 2,
    maxWaitTimeInMs: maxWaitMs,
    maxBytes: maxFetchBytes,
    maxBytesPerPartition: maxFetchBytes,
    allowAutoTopicCreation: false,
    metadataMaxAge: METADATA_AGE_MS,
    // One that it starts again by itself would not leave its group first.
    retry: { retries: 5, initialRetryTime: 100, maxRetryTime: 1_000, restartOnFailure: async () => false },
  });
  const leaveFor = async (memberId: string) => {
    if (cluster) await leaveGroup(cluster, group, memberId);
  };
  return { consumer, leaveFor };
}
