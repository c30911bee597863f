import type { BoundCounter } from '../runtime/metrics.ts';
import { type Chore, repeatWhileMore } from './chore.ts';
import { type OwedSender, payEach } from './owed-sender.ts';
import type { OwedDeadLetter, OwedRecordForms, OwedRecords } from './ports.ts';

/** They carry their payloads: few are held at once. */
const MAX_LETTERS = 20;

export interface OwedChoreOptions {
  readonly everyMs: number;
  readonly batchSize: number;
}

export interface OwedChoreDeps {
  readonly owed: OwedRecords;
  readonly forms: OwedRecordForms;
  readonly sender: OwedSender;
  readonly done: BoundCounter;
}

/** Puts commands that came to no good end, with reason and history, on the topic of dead letters. */
export class DeadLetters implements Chore {
  readonly name = 'dead-letters';
  readonly everyMs: number;
  readonly #limit: number;
  readonly #deps: OwedChoreDeps;

  constructor(options: OwedChoreOptions, deps: OwedChoreDeps) {
    this.everyMs = options.everyMs;
    this.#limit = Math.min(MAX_LETTERS, options.batchSize);
    this.#deps = deps;
  }

  async run(signal: AbortSignal): Promise<void> {
    await repeatWhileMore(signal, async () => {
      const letters = await this.#deps.owed.listOwedDeadLetters(this.#limit);
      await payEach(
        letters,
        (letter) => this.#send(letter, signal),
        (paid) => this.#clear(paid),
      );
      return letters.length === this.#limit;
    });
  }

  async #send(letter: OwedDeadLetter, signal: AbortSignal): Promise<void> {
    const { forms, sender } = this.#deps;
    const record = forms.deadLetter(letter);
    if ((await sender.send(record, signal)) === 'sent') return;
    await sender.sendOrDrop(this.name, letter.operation.id, forms.withoutValue(record), signal);
  }

  async #clear(paid: readonly OwedDeadLetter[]): Promise<void> {
    await this.#deps.owed.clearDeadLetters(paid.map(({ operation }) => operation.id));
    this.#deps.done.add(paid.length);
  }
}
