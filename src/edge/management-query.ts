/** The query of an operations route on the management port. An unknown name is refused: a misspelt filter would filter nothing. */
import { Failure } from '../runtime/failure.ts';

const WHOLE_NUMBER = /^[0-9]{1,9}$/;

export class ManagementQuery {
  readonly #values: URLSearchParams;

  /** @throws Failure REQUEST_INVALID naming a parameter that is not among the names, or given twice. */
  constructor(query: string, names: readonly string[]) {
    this.#values = new URLSearchParams(query);
    for (const name of this.#values.keys()) {
      if (!names.includes(name)) throw refuse(name, `is not known here, expected ${names.join(', ') || 'none'}`);
      if (this.#values.getAll(name).length > 1) throw refuse(name, 'is given more than once, expected one value');
    }
  }

  /** Null where it is absent; empty where it is given and empty. */
  text(name: string): string | null {
    return this.#values.get(name);
  }

  /** Null where it is absent or empty. @throws Failure REQUEST_INVALID */
  number(name: string): number | null {
    const text = this.#values.get(name);
    if (!text) return null;
    if (!WHOLE_NUMBER.test(text)) throw refuse(name, 'expected a whole number that is not negative');
    return Number(text);
  }

  /** True for `1` and `true`. @throws Failure REQUEST_INVALID */
  flag(name: string): boolean {
    const text = this.#values.get(name) ?? '0';
    if (/^(?:1|true)$/.test(text)) return true;
    if (/^(?:0|false|)$/.test(text)) return false;
    throw refuse(name, 'expected 0 or 1');
  }
}

function refuse(parameter: string, detail: string): Failure {
  return new Failure('REQUEST_INVALID', `${parameter}: ${detail}`, { violations: [{ parameter, detail }] });
}
