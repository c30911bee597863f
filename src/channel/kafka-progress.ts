import type { WorkerProgress } from '../chores/ports.ts';
import type { Clock } from '../runtime/clock.ts';
import type { RenewedAdmin } from './kafka-admin.ts';

/** How far consumer groups have come, as the group's coordinator has it. */
export class KafkaWorkerProgress implements WorkerProgress {
  readonly #deps: { readonly admin: Pick<RenewedAdmin, 'ask'>; readonly clock: Clock; readonly timeoutMs: number };

  constructor(deps: { admin: Pick<RenewedAdmin, 'ask'>; clock: Clock; timeoutMs: number }) {
    this.#deps = deps;
  }

  /**
   * Asks for all topics of the group: for one by name, kafkajs would look that one up with every later question of this
   * admin, and a topic that is deleted would spoil them all. A partition without an offset is -1 in the answer.
   */
  async committed(group: string, topic: string): Promise<ReadonlyMap<number, bigint>> {
    const answer = await this.#inTime(
      this.#deps.admin.ask((admin) => admin.fetchOffsets({ groupId: group, topics: [] })),
    );
    const partitions = answer.find((each) => each.topic === topic)?.partitions ?? [];
    return new Map(
      partitions
        .map(({ partition, offset }) => [partition, BigInt(offset)] as const)
        .filter(([, offset]) => offset >= 0n),
    );
  }

  async #inTime<Answer>(answer: Promise<Answer>): Promise<Answer> {
    const { clock, timeoutMs } = this.#deps;
    let cancel = () => {};
    const tooLate = new Promise<never>((_, reject) => {
      const text = `Kafka did not tell the offsets of a group within ${timeoutMs} ms`;
      cancel = clock.setTimer(() => reject(new Error(text)), timeoutMs);
    });
    try {
      return await Promise.race([answer, tooLate]);
    } finally {
      cancel();
    }
  }
}
