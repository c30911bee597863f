import type { Logger } from './log.ts';
import { acceptedReply, type Progress, progressReply, type Reply } from './reply.ts';

export interface SignsOfLifeOptions {
  readonly send: (reply: Reply) => Promise<void>;
  /** False once the command is answered: a sign of life after that would only confuse. */
  readonly isWanted: () => boolean;
  readonly logger: Logger;
}

/** What a command says before its answer. One that cannot be sent harms nobody, so nothing here rejects. */
export class SignsOfLife {
  readonly #options: SignsOfLifeOptions;
  #acceptedSent = false;
  /** The report to send after the one on its way. */
  #latest: Reply | null = null;
  #reporting: Promise<void> | null = null;

  constructor(options: SignsOfLifeOptions) {
    this.#options = options;
  }

  /** Once; later calls do nothing. */
  async accept(): Promise<void> {
    if (this.#acceptedSent) return;
    this.#acceptedSent = true;
    await this.#send(acceptedReply);
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

  async #send(reply: Reply): Promise<void> {
    if (!this.#options.isWanted()) return;
    await this.#options.send(reply).catch((error) => {
      this.#options.logger.warn({ error, kind: reply.kind }, 'sign of life not sent');
    });
  }
}
