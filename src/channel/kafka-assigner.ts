import { AssignerProtocol, type PartitionAssigner } from 'kafkajs';

const NAME = 'sluice-all';
const VERSION = 1;
const NO_DATA = Buffer.alloc(0);

/**
 * Gives every member all partitions. The group has one member, this instance; which partitions are read is decided by
 * leases, not by the group, so that a partition changes hands without a rejoin.
 */
export const assignAllPartitions: PartitionAssigner = ({ cluster }) => ({
  name: NAME,
  version: VERSION,
  async assign({ members, topics }) {
    const assignment = Object.fromEntries(
      topics.map((topic) => [topic, cluster.findTopicPartitionMetadata(topic).map((each) => each.partitionId)]),
    );
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
