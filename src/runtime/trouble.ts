import type { Logger } from './log.ts';

/**
 * Says once that something has begun to fail, and once that it is well again. An outage concerns thousands of operations,
 * each repeated every few seconds: a line for each would hide the one that matters.
 */
export class Trouble {
  readonly #what: string;
  readonly #logger: Logger;
  #isOn = false;

  constructor(what: string, logger: Logger) {
    this.#what = what;
    this.#logger = logger;
  }

  note(fields: object): void {
    if (this.#isOn) this.#logger.debug(fields, `${this.#what}, again`);
    else this.#logger.warn(fields, this.#what);
    this.#isOn = true;
  }

  end(): void {
    if (!this.#isOn) return;
    this.#isOn = false;
    this.#logger.info({}, `over: ${this.#what}`);
  }
}
