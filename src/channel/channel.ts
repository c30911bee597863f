import type { WorkerProgress } from '../chores/ports.ts';
import type { CommandPublisher, RecordSender } from '../operations/channel-ports.ts';
import type { ReplySource } from '../replies/ports.ts';

/** The message bus as the gateway wires it: Kafka (`kafka.ts`) or one in this process (`memory.ts`). */
export interface Channel {
  readonly publisher: CommandPublisher;
  /** For Sluice's own topics. */
  readonly sender: RecordSender;
  readonly workers: WorkerProgress;
  readonly replies: ReplySource;
  /**
   * Creates the topics that are missing where that is allowed, checks the reply topic, learns what a record of each topic
   * may weigh. Goes on in the background while the bus is unreachable; `degraded` says so meanwhile.
   * Throws `ChannelSetupError` where the bus answered and the reply topic cannot be used.
   */
  ensureTopics(commandTopics: readonly string[]): Promise<void>;
  /** What keeps the channel from full service, for readiness and people; null while all is well. */
  degraded(): string | null;
  /** Publishes what was handed over, as far as that goes quickly, then closes every connection. */
  stop(): Promise<void>;
}

/** The topics are not as they must be, and Sluice may not or cannot change that. One sentence a problem. */
export class ChannelSetupError extends Error {
  override readonly name = 'ChannelSetupError';
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
    this.problems = problems;
  }
}
