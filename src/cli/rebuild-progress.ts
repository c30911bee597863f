/** How far a rebuild is, on standard error: one line that changes on a terminal, else a line now and then for a log. */
import type { Clock } from '../runtime/clock.ts';
import type { Desk } from './operations-desk.ts';

export interface ProgressDeps {
  readonly desk: Pick<Desk, 'ask'>;
  readonly output: { readonly isTTY?: boolean; write(text: string): unknown };
  readonly clock: Clock;
}

const TERMINAL_EVERY_MS = 1000;
const LOG_EVERY_MS = 10_000;
const CLEAR_LINE = '\r\u001b[K';

/** Settles as the answer does; what a question about the progress ends with is nobody's trouble. */
export async function tellProgress<Answer>(answer: Promise<Answer>, deps: ProgressDeps): Promise<Answer> {
  const teller = new ProgressTeller(deps);
  teller.start();
  try {
    return await answer;
  } finally {
    teller.stop();
  }
}

class ProgressTeller {
  readonly #deps: ProgressDeps;
  readonly #isTerminal: boolean;
  #cancelTimer: () => void = () => undefined;
  #hasLine = false;
  #stopped = false;

  constructor(deps: ProgressDeps) {
    this.#deps = deps;
    this.#isTerminal = deps.output.isTTY === true;
  }

  start(): void {
    const everyMs = this.#isTerminal ? TERMINAL_EVERY_MS : LOG_EVERY_MS;
    this.#cancelTimer = this.#deps.clock.setTimer(() => void this.#tell(), everyMs);
  }

  /** Leaves an empty line to whoever prints next. */
  stop(): void {
    this.#stopped = true;
    this.#cancelTimer();
    if (this.#hasLine) this.#deps.output.write(CLEAR_LINE);
  }

  async #tell(): Promise<void> {
    const compared = await this.#ask();
    // The answer may have come meanwhile.
    if (this.#stopped) return;
    if (compared !== null) this.#write(`${compared} operations compared so far`);
    this.start();
  }

  #write(text: string): void {
    this.#hasLine = this.#isTerminal;
    this.#deps.output.write(this.#isTerminal ? `${CLEAR_LINE}${text}` : `${text}\n`);
  }

  /** Null where nobody knows: the gateway is of a version that does not say, or the rebuild has not begun or is over. */
  async #ask(): Promise<number | null> {
    try {
      const { running, compared } = await this.#deps.desk.ask('GET', '/operations:rebuild');
      return running === true && typeof compared === 'number' ? compared : null;
    } catch {
      return null;
    }
  }
}
