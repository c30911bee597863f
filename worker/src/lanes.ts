type Task = () => Promise<void>;

/**
 * Runs tasks, at most `concurrency` at once; tasks of one lane one after the other, in the order they came; among lanes,
 * the first ready is the first run. A task's rejection is the task's own affair: it must not reject.
 *
 * Invariant: a lane is in `#lanes` while one of its tasks is ready or runs; its later tasks stand in its list.
 */
export class Lanes {
  readonly #concurrency: number;
  readonly #lanes = new Map<string, Task[]>();
  #ready: { lane: string | null; task: Task }[] = [];
  #running = 0;
  #stopped = false;

  constructor(concurrency: number) {
    this.#concurrency = concurrency;
  }

  /** A null lane is a lane of its own. Dropped after `stop`. */
  add(lane: string | null, task: Task): void {
    if (this.#stopped) return;
    const waiting = lane === null ? undefined : this.#lanes.get(lane);
    if (waiting) {
      waiting.push(task);
      return;
    }
    if (lane !== null) this.#lanes.set(lane, []);
    this.#ready.push({ lane, task });
    this.#startReady();
  }

  /** Drops what has not started; what runs goes on. */
  stop(): void {
    this.#stopped = true;
    this.#ready = [];
    this.#lanes.clear();
  }

  #startReady(): void {
    while (this.#running < this.#concurrency) {
      const next = this.#ready.shift();
      if (next === undefined) return;
      void this.#run(next.lane, next.task);
    }
  }

  async #run(lane: string | null, task: Task): Promise<void> {
    this.#running += 1;
    try {
      await task();
    } finally {
      this.#running -= 1;
      this.#releaseLane(lane);
      this.#startReady();
    }
  }

  #releaseLane(lane: string | null): void {
    if (lane === null || this.#stopped) return;
    const next = this.#lanes.get(lane)?.shift();
    if (next === undefined) this.#lanes.delete(lane);
    // At the end of the queue: a key with many commands must not keep others from their turn.
    else this.#ready.push({ lane, task: next });
  }
}
