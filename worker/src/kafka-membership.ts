import { AssignerProtocol, type Cluster, type PartitionAssigner } from 'kafkajs';
import { isTransient } from './kafka-errors.ts';

const NAME = 'sluice-all';
const VERSION = 1;
const NO_DATA = Buffer.alloc(0);

/** Every member reads all partitions: for a group of one, also while a member that died is still counted. */
export const assignAllToEach: PartitionAssigner = ({ cluster }) => ({
  name: NAME,
  version: VERSION,
  async assign({ members, topics }) {
    const assignment = Object.fromEntries(
      topics.map((topic) => [topic, cluster.findTopicPartitionMetadata(topic).map((each) => each.partitionId)]),
    );
    const memberAssignment = AssignerProtocol.MemberAssignment.encode({
      version: VERSION,
      assignment,
      userData: NO_DATA,
    });
    return members.map(({ memberId }) => ({ memberId, memberAssignment }));
  },
  protocol: ({ topics }) => ({
    name: NAME,
    metadata: AssignerProtocol.MemberMetadata.encode({ version: VERSION, topics, userData: NO_DATA }),
  }),
});

/** A broker of kafkajs 2.2.4 as it is; its types leave this out. */
interface Coordinator {
  leaveGroup?(request: { groupId: string; memberId: string }): Promise<unknown>;
}

/**
 * Takes a member out of its group in the place of a consumer that could not: its broker was away when it ended. The
 * coordinator, back from its log, would else keep the group waiting for that member until its session is over.
 *
 * kafkajs gives its cluster to assigners and to nobody else.
 * @throws what is worth a repetition; a member that is not known any more is no error
 */
export async function leaveGroup(cluster: Cluster, groupId: string, memberId: string): Promise<void> {
  try {
    const coordinator = (await cluster.findGroupCoordinator({ groupId })) as Coordinator;
    await coordinator.leaveGroup?.({ groupId, memberId });
  } catch (error) {
    if (isTransient(error)) throw error;
  }
}
