import type { Clock } from './clock.ts';
import type { Logger } from './log.ts';
import { acceptedReply, type Progress, progressReply, type Reply } from './reply.ts';

export interface SignsOfLifeOptions {
  readonly send: (reply: Reply) => Promise<void>;
  readonly logger: Logger;
  readonly clock: Clock;
  /** The first `accepted`, counted from the command's arrival. */
  readonly firstAfterMs: number;
  /** After each sign the next one, so that the gateway does not send the command again; null: one is enough. */
  readonly repeatMs: number | null;
}

/**
 * What a command says before its answer. One that cannot be sent harms nobody, so nothing here rejects; while one is on
 * its way no other `accepted` is sent, so that a bus that is down does not gather them.
 *
 * Invariant: between `start` and `stop` one timer is set, but for `repeatMs: null` after the first sign.
 */
export class SignsOfLife {
  readonly #options: SignsOfLifeOptions;
  #acceptedSent = false;
  /** The report to send after the one on its way. */
  #latest: Reply | null = null;
  #reporting: Promise<void> | null = null;
  #isAccepting = false;
  #stopped = false;
  #cancelTimer: () => void = () => {};

  constructor(options: SignsOfLifeOptions) {
    this.#options = options;
  }

  /** From now on signs are sent without being asked. */
  start(): void {
    this.#sendAfter(this.#options.firstAfterMs);
  }

  /** The command is answered, or not ours any more: a sign of life after that would only confuse. */
  stop(): void {
    this.#stopped = true;
    this.#cancelTimer();
  }

  /** Once; later calls do nothing. */
  async accept(): Promise<void> {
    if (this.#acceptedSent) return;
    await this.#sendAccepted();
  }

  /** While one report is on its way, only the latest of those that follow is kept. Throws RangeError. */
  report(progress: Progress): Promise<void> {
    this.#latest = progressReply(progress);
    this.#reporting ??= this.#sendReports();
    return this.#reporting;
  }

  async #sendReports(): Promise<void> {
    for (let reply = this.#latest; reply !== null; reply = this.#latest) {
      this.#latest = null;
      await this.#send(reply);
    }
    this.#reporting = null;
  }

  async #sendAccepted(): Promise<void> {
    this.#acceptedSent = true;
    this.#isAccepting = true;
    await this.#send(acceptedReply);
    this.#isAccepting = false;
  }

  /** Any sign counts: the gateway's timer begins again with each. */
  #sendAfter(delayMs: number | null): void {
    this.#cancelTimer();
    if (this.#stopped || delayMs === null) return;
    this.#cancelTimer = this.#options.clock.setTimer(() => {
      this.#sendAfter(this.#options.repeatMs);
      if (!this.#isAccepting) void this.#sendAccepted();
    }, delayMs);
  }

  async #send(reply: Reply): Promise<void> {
    if (this.#stopped) return;
    // A report before the first `accepted` does not put that off: it comes when it was said to come.
    if (this.#acceptedSent) this.#sendAfter(this.#options.repeatMs);
    try {
      await this.#options.send(reply);
    } catch (error) {
      this.#options.logger.warn({ error, kind: reply.kind }, 'sign of life not sent');
    }
  }
}
