import type { Position, TopicPartition } from './transport.ts';

interface PartitionState extends TopicPartition {
  /** Received and not finished. */
  readonly unfinished: Set<bigint>;
  /** One past the last received. */
  next: bigint;
  committed: bigint | null;
}

/** A record that is being worked on. */
export interface Ticket {
  /** The record is done: its offset may be committed. Twice is harmless. */
  finish(): void;
  /** False once the partition was given away: another member will run the record. */
  isHeld(): boolean;
}

/**
 * Which offsets may be committed: per partition, never past the lowest record that is not finished, so that a crash
 * redelivers every command whose reply was not acknowledged.
 *
 * A partition given away and taken back starts anew: `finish` of a record received before that reaches a state that
 * nobody commits, else it could commit past what another member left undone.
 */
export class OffsetTracker {
  readonly #partitions = new Map<string, PartitionState>();

  /** Null for a record that is being worked on: fetched twice, it must not run beside itself. */
  receive(topic: string, partition: number, offset: bigint): Ticket | null {
    const state = this.#stateOf(topic, partition, offset);
    if (state.unfinished.has(offset)) return null;
    state.unfinished.add(offset);
    // Not the highest: a topic that was made anew begins at 0 again.
    state.next = offset + 1n;
    return {
      finish: () => void state.unfinished.delete(offset),
      isHeld: () => this.#partitions.get(nameOf(state)) === state,
    };
  }

  forget(partitions: readonly TopicPartition[]): void {
    for (const partition of partitions) this.#partitions.delete(nameOf(partition));
  }

  /** What has moved since the last `markCommitted`. */
  committable(): Position[] {
    return [...this.#partitions.values()].flatMap((state) => {
      const offset = lowestUnfinished(state);
      return offset === state.committed ? [] : { topic: state.topic, partition: state.partition, offset };
    });
  }

  markCommitted(positions: readonly Position[]): void {
    for (const position of positions) {
      const state = this.#partitions.get(nameOf(position));
      if (state) state.committed = position.offset;
    }
  }

  #stateOf(topic: string, partition: number, first: bigint): PartitionState {
    const name = nameOf({ topic, partition });
    let state = this.#partitions.get(name);
    if (state === undefined) {
      state = { topic, partition, unfinished: new Set(), next: first, committed: first };
      this.#partitions.set(name, state);
    }
    return state;
  }
}

function lowestUnfinished(state: PartitionState): bigint {
  let lowest = state.next;
  for (const offset of state.unfinished) if (offset < lowest) lowest = offset;
  return lowest;
}

function nameOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`;
}
