// What a group's leader gives to whom. The cluster is a stand-in; `kafka-groups.test.ts` has a real one.
import { type Assigner, AssignerProtocol, type Cluster, type GroupMember, PartitionAssigners } from 'kafkajs';
import { describe, expect, test } from 'vitest';
import { dealPartitions, type Subscriber, shareAmongSubscribers } from '../src/kafka-sharing.ts';
import { silentLogger } from '../src/log.ts';

function subscriber(memberId: string, ...topics: string[]): Subscriber {
  return { memberId, topics, partitionCounts: [] };
}

function deal(subscribers: Subscriber[], counts: Record<string, number>) {
  return Object.fromEntries(dealPartitions(subscribers, new Map(Object.entries(counts))));
}

describe('partitions are dealt', () => {
  test('to subscribers of the topic alone, and each partition to one', () => {
    expect(deal([subscriber('a', 'x'), subscriber('b', 'y'), subscriber('c', 'x', 'y')], { x: 3, y: 2 })).toEqual({
      a: { x: [0, 2] },
      b: { y: [0] },
      c: { x: [1], y: [1] },
    });
  });

  test('evenly, of each topic and of all together', () => {
    const all = ['a', 'b', 'c'].map((id) => subscriber(id, 'x', 'y', 'z'));
    const dealt = Object.values(deal(all, { x: 4, y: 4, z: 4 }));
    for (const topic of ['x', 'y', 'z']) {
      expect(dealt.map((share) => share[topic]?.length).toSorted()).toEqual([1, 1, 2]);
      expect(dealt.flatMap((share) => share[topic] ?? []).toSorted()).toEqual([0, 1, 2, 3]);
    }
    expect(dealt.map((share) => Object.values(share).flat().length)).toEqual([4, 4, 4]);
  });

  test('topics of one partition each among all, not all to the first', () => {
    const both = ['a', 'b'].map((id) => subscriber(id, 'x', 'y'));
    expect(deal(both, { x: 1, y: 1 })).toEqual({ a: { x: [0] }, b: { y: [0] } });
  });

  test('alike, in whatever order members and topics are listed', () => {
    const members = [subscriber('a', 'x', 'y'), subscriber('b', 'y'), subscriber('c', 'y', 'x')];
    const counts = { x: 5, y: 4 };
    const reversed = Object.fromEntries(Object.entries(counts).reverse());
    expect(deal(members.toReversed(), reversed)).toEqual(deal(members, counts));
  });

  test('to members beyond the number of partitions: nothing', () => {
    expect(deal([subscriber('a', 'x'), subscriber('b', 'x')], { x: 1 })).toEqual({ a: { x: [0] }, b: {} });
  });
});

/** A broker has `topics`; whoever subscribes to one of them knows it, and of others nothing. */
function createCluster(topics: Record<string, number>, subscribed: string[]) {
  const asked: string[] = [];
  const partitionsOf = (topic: string) =>
    Array.from({ length: topics[topic] ?? 0 }, (_, partitionId) => ({ partitionId }));
  const cluster = {
    findTopicPartitionMetadata: (topic: string) => (subscribed.includes(topic) ? partitionsOf(topic) : []),
    findGroupCoordinator: async () => ({
      async metadata(names: string[]) {
        asked.push(...names);
        if (names.some((name) => topics[name] === undefined)) throw new Error('UNKNOWN_TOPIC_OR_PARTITION');
        return { topicMetadata: names.map((topic) => ({ topic, partitionMetadata: partitionsOf(topic) })) };
      },
    }),
  } as unknown as Cluster;
  return { cluster, asked };
}

type Config = Parameters<(typeof PartitionAssigners)['roundRobin']>[0];

function createAssigners(cluster: Cluster): Assigner[] {
  const config = { cluster, groupId: 'g', logger: undefined } as unknown as Config;
  return shareAmongSubscribers(silentLogger).map((create) => create(config));
}

function join(memberId: string, assigner: Assigner | undefined, ...topics: string[]): GroupMember {
  return { memberId, memberMetadata: assigner?.protocol({ topics }).metadata ?? Buffer.alloc(0) };
}

async function assign(leader: Assigner | undefined, members: GroupMember[], topics: string[]) {
  const shares = (await leader?.assign({ members, topics })) ?? [];
  return Object.fromEntries(
    shares.map((share) => [
      share.memberId,
      AssignerProtocol.MemberAssignment.decode(share.memberAssignment)?.assignment,
    ]),
  );
}

describe('a leader', () => {
  const topics = { mine: 2, theirs: 3 };
  const mine = createCluster(topics, ['mine']);
  const [leader, leaderOfOld] = createAssigners(mine.cluster);
  const [follower] = createAssigners(createCluster(topics, ['theirs']).cluster);
  const builtIn = PartitionAssigners.roundRobin({ cluster: mine.cluster } as unknown as Config);

  test('gives out topics that it does not subscribe to, by what their subscribers told, and asks nobody', async () => {
    const members = [join('a', leader, 'mine'), join('b', follower, 'theirs')];
    expect(await assign(leader, members, ['mine'])).toEqual({ a: { mine: [0, 1] }, b: { theirs: [0, 1, 2] } });
    expect(mine.asked).toEqual([]);
  });

  test('takes the greatest number that a member knows, for partitions are added', async () => {
    const [late] = createAssigners(createCluster({ theirs: 1 }, ['theirs']).cluster);
    const members = [join('a', leader, 'mine'), join('b', late, 'theirs'), join('c', follower, 'theirs')];
    expect(await assign(leader, members, ['mine'])).toMatchObject({ b: { theirs: [0, 2] }, c: { theirs: [1] } });
  });

  test('offers the built-in protocol too, and asks what members that have only that do not tell', async () => {
    expect(leader?.name).not.toBe(builtIn.name);
    expect(leaderOfOld?.name).toBe(builtIn.name);
    const members = [join('a', leaderOfOld, 'mine'), join('b', builtIn, 'theirs')];
    expect(await assign(leaderOfOld, members, ['mine'])).toEqual({ a: { mine: [0, 1] }, b: { theirs: [0, 1, 2] } });
  });

  test('passes over a topic that does not exist, and serves the others', async () => {
    const members = [join('a', leaderOfOld, 'mine'), join('b', builtIn, 'gone', 'theirs')];
    expect(await assign(leaderOfOld, members, ['mine'])).toEqual({ a: { mine: [0, 1] }, b: { theirs: [0, 1, 2] } });
  });

  test('is not put off by what other clients write into their subscriptions', async () => {
    for (const text of ['', '{}', 'null', '{"partitions":["many",-1]}', '\u0000\u0001']) {
      const userData = Buffer.from(text);
      const memberMetadata = AssignerProtocol.MemberMetadata.encode({ version: 1, topics: ['theirs'], userData });
      const members = [join('a', leaderOfOld, 'mine'), { memberId: 'b', memberMetadata }];
      expect(await assign(leaderOfOld, members, ['mine'])).toMatchObject({ b: { theirs: [0, 1, 2] } });
    }
  });
});
