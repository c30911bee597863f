import type { Reply } from './reply.ts';

/** Under what a command is known again: its `ce_id`, within the group of workers that runs it. */
export interface CommandKey {
  /** With its namespace. Two groups that read one topic each run the command. */
  readonly group: string;
  /** `ce_id`: the same for each coming and each attempt. */
  readonly id: string;
}

/** The terminal reply, and whether this call ran the work or found it done. */
export interface Outcome {
  readonly reply: Reply;
  readonly duplicate: boolean;
}

/**
 * Runs the handler. An error reply is an answer too: the handler said no, or failed, and what it did in the transaction
 * must not stand. A rejection is no answer: the command was interrupted and will run again.
 */
export type Work<Transaction> = (transaction: Transaction) => Promise<Reply>;

/** How long a store may try. */
export interface RunLimits {
  /** Fires at the command's deadline, when it is cancelled, and with `stopped`: nothing is begun after that. */
  readonly signal: AbortSignal;
  /** Fires when the worker gives its commands up: what is still unclear then is left to whoever runs them next. */
  readonly stopped: AbortSignal;
}

/**
 * Remembers the terminal reply of each command, so that a command that comes twice has one effect and each coming is
 * answered. Kafka redelivers after a crash or a rebalance, and a gateway may send a second attempt.
 *
 * `Transaction` is what handlers are given to write their effects with, as `context.transaction`; null where the store
 * has none.
 */
export interface DeduplicationStore<Transaction = null> {
  /** Called at the start of each worker that uses the store. Rejects, with an error that says why, where it cannot work. */
  ensure?(): Promise<void>;
  /** The stored terminal reply; undefined for an unknown command and for one that still runs. */
  find(key: CommandKey): Promise<Reply | undefined>;
  /**
   * Runs `work` unless the command ended before; a second call while the first runs waits for it. Where `work` rejects,
   * nothing is stored, this call rejects, and one that waited runs its own work. A store that can undo what the handler
   * did, and lost touch before it knew the end, finds out what stands, and runs `work` again where nothing does.
   */
  runOnce(key: CommandKey, work: Work<Transaction>, limits: RunLimits): Promise<Outcome>;
}

/**
 * Commands that run in this process: a second coming waits for the first without a connection of its own.
 *
 * Invariant: an entry is there while the store runs the command, and its promise settles as the store's call does.
 */
export class RunningCommands {
  readonly #running = new Map<string, Promise<Outcome>>();

  /** `run` must look for a stored reply itself: between two calls the command may have ended. */
  async join(key: CommandKey, run: () => Promise<Outcome>): Promise<Outcome> {
    const name = nameOf(key);
    for (;;) {
      const running = this.#running.get(name);
      if (running === undefined) return this.#start(name, run);
      const outcome = await running.catch(() => undefined);
      if (outcome) return { reply: outcome.reply, duplicate: true };
    }
  }

  async #start(name: string, run: () => Promise<Outcome>): Promise<Outcome> {
    const running = run();
    this.#running.set(name, running);
    try {
      return await running;
    } finally {
      this.#running.delete(name);
    }
  }
}

/** Neither a group's name nor a header holds a line break. */
export function nameOf({ group, id }: CommandKey): string {
  return `${group}\n${id}`;
}
