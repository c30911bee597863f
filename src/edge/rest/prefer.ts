/** The `Prefer` request header (RFC 7240). What is malformed or unknown is ignored, as section 2 says; it is never an error. */

export interface Preferences {
  /** `wait=N` in whole seconds; null: not asked for. */
  readonly waitSeconds: number | null;
  readonly respondAsync: boolean;
}

const NO_PREFERENCES: Preferences = Object.freeze({ waitSeconds: null, respondAsync: false });

const TOKEN = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;
const QUOTED = /"(?:[^"\\]|\\.)*"/y;
const BLANKS = /[ \t]*/y;
const DELTA_SECONDS = /^[0-9]+$/;

/** @param text all `Prefer` fields of the request, joined by commas; null where there is none. */
export function parsePrefer(text: string | null): Preferences {
  if (text === null) return NO_PREFERENCES;
  const values = readPreferences(text);
  const wait = values.get('wait');
  return {
    waitSeconds: wait !== undefined && DELTA_SECONDS.test(wait) ? Number(wait) : null,
    respondAsync: values.get('respond-async') === '',
  };
}

/**
 * Values by lower-case name. Of a repeated preference the first counts ("the first instance", section 2), also where its
 * value turns out to be of no use. No value and an empty one are the same.
 */
function readPreferences(text: string): Map<string, string> {
  const values = new Map<string, string>();
  const scanner = new Scanner(text);
  while (!scanner.atEnd) {
    const preference = scanner.readPreference();
    if (preference && !values.has(preference.name)) values.set(preference.name, preference.value);
    scanner.skipPastComma();
  }
  return values;
}

/** `preference *( OWS ";" [ OWS parameter ] )`, separated by commas. */
class Scanner {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  get atEnd(): boolean {
    return this.#at >= this.#text.length;
  }

  /** @returns null where the element is not of the grammar, or empty. */
  readPreference(): { readonly name: string; readonly value: string } | null {
    const preference = this.#readPair();
    if (preference === null) return null;
    while (this.#takeIf(';')) {
      if (this.#readPair() === null && !this.#isAt(';') && !this.#isAtElementEnd()) return null;
    }
    return this.#isAtElementEnd() ? preference : null;
  }

  /** To behind the next comma that stands in no quotes. An open quote takes all that is left. */
  skipPastComma(): void {
    while (!this.atEnd) {
      if (this.#isAt('"') && this.#match(QUOTED) === null) {
        this.#at = this.#text.length;
        return;
      }
      if (this.#isAt(',')) {
        this.#at += 1;
        return;
      }
      if (!this.#isAt('"')) this.#at += 1;
    }
  }

  #readPair(): { name: string; value: string } | null {
    this.#match(BLANKS);
    const name = this.#match(TOKEN);
    if (name === null) return null;
    if (!this.#takeIf('=')) return { name: name.toLowerCase(), value: '' };
    this.#match(BLANKS);
    const quoted = this.#match(QUOTED);
    const value = quoted === null ? this.#match(TOKEN) : quoted.slice(1, -1).replace(/\\(.)/g, '$1');
    this.#match(BLANKS);
    return { name: name.toLowerCase(), value: value ?? '' };
  }

  #takeIf(character: string): boolean {
    this.#match(BLANKS);
    if (!this.#isAt(character)) return false;
    this.#at += 1;
    return true;
  }

  #isAt(character: string): boolean {
    return this.#text[this.#at] === character;
  }

  #isAtElementEnd(): boolean {
    this.#match(BLANKS);
    return this.atEnd || this.#isAt(',');
  }

  #match(pattern: RegExp): string | null {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    if (found === undefined) return null;
    this.#at += found.length;
    return found;
  }
}
