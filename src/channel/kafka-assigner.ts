import { AssignerProtocol, type PartitionAssigner } from 'kafkajs';

const NAME = 'sluice-all';
const VERSION = 1;
const NO_DATA = Buffer.alloc(0);

/**
 * Gives every member all partitions. The group has one member, this instance; which partitions are read is decided by
 * leases, not by the group, so that a partition changes hands without a rejoin.
 */
export const assignAllPartitions: PartitionAssigner = createAssigner(() => true);

/** Gives every member this partition and no other: for a second reader beside the first one. */
export function assignOnly(partition: number): PartitionAssigner {
  return createAssigner((each) => each === partition);
}

function createAssigner(isAssigned: (partition: number) => boolean): PartitionAssigner {
  return ({ cluster }) => ({
    name: NAME,
    version: VERSION,
    async assign({ members, topics }) {
      const partitionsOf = (topic: string) =>
        cluster.findTopicPartitionMetadata(topic).map(({ partitionId }) => partitionId);
      const assignment = Object.fromEntries(topics.map((topic) => [topic, partitionsOf(topic).filter(isAssigned)]));
      return members.map(({ memberId }) => ({
        memberId,
        memberAssignment: AssignerProtocol.MemberAssignment.encode({ version: VERSION, assignment, userData: NO_DATA }),
      }));
    },
    protocol: ({ topics }) => ({
      name: NAME,
      metadata: AssignerProtocol.MemberMetadata.encode({ version: VERSION, topics, userData: NO_DATA }),
    }),
  });
}
