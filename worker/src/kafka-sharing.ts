import { AssignerProtocol, type Assignment, type Cluster, type GroupMember, type PartitionAssigner } from 'kafkajs';
import type { Logger } from './log.ts';

const NAME = 'sluice-share';
/** Of kafkajs's own assigner. A group takes in whoever offers a protocol that all of its members offer. */
const BUILT_IN_NAME = 'RoundRobinAssigner';
const VERSION = 0;
const NO_DATA = Buffer.alloc(0);

/** A member of a group, as its leader is told of it. */
export interface Subscriber {
  readonly memberId: string;
  readonly topics: readonly string[];
  /** How many partitions it knows of each of its topics, in their order. Empty: it does not say. */
  readonly partitionCounts: readonly number[];
}

/**
 * Members of a group share each topic among those that subscribe to it. The assigner of kafkajs 2.2.4 shares the leader's
 * topics among all: what only others subscribe to goes unread, which is every rolling deploy that adds a method.
 *
 * One assigner under two names, ours preferred: under that of the built-in one, members that have only that are joined,
 * and, where one of ours leads, are given what they subscribe to as well.
 */
export function shareAmongSubscribers(logger: Logger): PartitionAssigner[] {
  return [NAME, BUILT_IN_NAME].map((name) => createAssigner(name, logger));
}

function createAssigner(name: string, logger: Logger): PartitionAssigner {
  return ({ cluster, groupId }) => ({
    name,
    version: VERSION,
    async assign({ members }) {
      const subscribers = members.map(readSubscriber);
      const lookUp = (topic: string) => lookUpPartitionCount(cluster, groupId, topic, logger);
      const counts = await countPartitions(subscribers, (topic) => countKnown(cluster, topic), lookUp);
      return [...dealPartitions(subscribers, counts)].map(([memberId, assignment]) => ({
        memberId,
        memberAssignment: AssignerProtocol.MemberAssignment.encode({ version: VERSION, assignment, userData: NO_DATA }),
      }));
    },
    protocol: ({ topics }) => {
      const partitions = topics.map((topic) => countKnown(cluster, topic));
      const userData = Buffer.from(JSON.stringify({ partitions }));
      return { name, metadata: AssignerProtocol.MemberMetadata.encode({ version: VERSION, topics, userData }) };
    },
  });
}

/**
 * Each topic in turn to its subscribers, none of which has two partitions more of it than another; what does not come out
 * even goes to those that have least so far. The same members get the same, in whatever order they are listed.
 */
export function dealPartitions(
  subscribers: readonly Subscriber[],
  partitionCounts: ReadonlyMap<string, number>,
): Map<string, Assignment> {
  const hands = subscribers
    .map(({ memberId, topics }) => ({ memberId, topics, dealt: new Map<string, number[]>(), total: 0 }))
    .toSorted((a, b) => (a.memberId < b.memberId ? -1 : 1));
  for (const [topic, count] of [...partitionCounts].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    const takers = hands.filter(({ topics }) => topics.includes(topic)).toSorted((a, b) => a.total - b.total);
    for (const [place, taker] of takers.entries()) {
      const partitions: number[] = [];
      for (let partition = place; partition < count; partition += takers.length) partitions.push(partition);
      if (partitions.length > 0) taker.dealt.set(topic, partitions);
      taker.total += partitions.length;
    }
  }
  return new Map(hands.map(({ memberId, dealt }) => [memberId, Object.fromEntries(dealt)]));
}

/**
 * The most that anybody knows of, for partitions are only added. Who subscribes says so when it joins: the leader need
 * not ask, has no need of a right to the topic, and does not come to harm by one that is gone. Asked for is only what no
 * member speaks of, because its subscribers have the built-in assigner.
 */
async function countPartitions(
  subscribers: readonly Subscriber[],
  countOwn: (topic: string) => number,
  lookUp: (topic: string) => Promise<number>,
): Promise<Map<string, number>> {
  const topics = [...new Set(subscribers.flatMap((each) => each.topics))];
  const count = async (topic: string) => {
    const stated = subscribers.map((each) => each.partitionCounts[each.topics.indexOf(topic)] ?? 0);
    return Math.max(countOwn(topic), ...stated) || (await lookUp(topic));
  };
  return new Map(await Promise.all(topics.map(async (topic) => [topic, await count(topic)] as const)));
}

/** Of topics that are not this member's own, its cluster knows nothing: 0. */
function countKnown(cluster: Cluster, topic: string): number {
  return cluster.findTopicPartitionMetadata(topic).length;
}

/**
 * Straight from a broker. As one of the cluster's own topics (`addMultipleTargetTopics`) it would be asked for at every
 * refresh from then on, and its deletion would end this consumer.
 */
async function lookUpPartitionCount(cluster: Cluster, group: string, topic: string, logger: Logger): Promise<number> {
  try {
    const broker = await cluster.findGroupCoordinator({ groupId: group });
    const { topicMetadata } = await broker.metadata([topic]);
    return topicMetadata.find((each) => each.topic === topic)?.partitionMetadata.length ?? 0;
  } catch (error) {
    logger.warn({ error, group, topic }, 'a topic of another member is not to be found: nobody is given it');
    return 0;
  }
}

function readSubscriber({ memberId, memberMetadata }: GroupMember): Subscriber {
  const subscription = AssignerProtocol.MemberMetadata.decode(memberMetadata);
  return {
    memberId,
    topics: subscription?.topics ?? [],
    partitionCounts: readPartitionCounts(subscription?.userData),
  };
}

/** Other clients put there what they like, or nothing. */
function readPartitionCounts(userData: Buffer | null | undefined): number[] {
  try {
    const { partitions } = JSON.parse(String(userData)) as { partitions: unknown[] };
    return partitions.map((count) => (Number.isSafeInteger(count) ? (count as number) : 0));
  } catch {
    return [];
  }
}
