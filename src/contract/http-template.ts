/**
 * Path templates of google/api/http.proto:
 *
 *     Template = "/" Segments [ Verb ] ;
 *     Segments = Segment { "/" Segment } ;
 *     Segment  = "*" | "**" | LITERAL | Variable ;
 *     Variable = "{" FieldPath [ "=" Segments ] "}" ;
 *     FieldPath = IDENT { "." IDENT } ;
 *     Verb     = ":" LITERAL ;
 */

/** `*` one segment, `**` zero or more and always last, else a literal, percent-decoded. */
export type TemplateSegment =
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'one' }
  | { readonly kind: 'rest' };

export interface TemplateVariable {
  /** Proto names with dots. */
  readonly fieldPath: string;
  /** First segment that it captures. */
  readonly start: number;
  /** One past the last; of no meaning where the last one is `**`. */
  readonly end: number;
  /** Captures more than one segment, or may: `%2F` in it stays encoded. */
  readonly multiSegment: boolean;
}

export interface PathTemplate {
  readonly text: string;
  readonly segments: readonly TemplateSegment[];
  readonly variables: readonly TemplateVariable[];
  readonly verb: string | null;
  /** Equal for two templates that match the same paths by the same literals: `/v1/shelves/*:merge`. */
  readonly shape: string;
}

/** A template that is not of the grammar; the message says where and what was expected. */
export class TemplateError extends Error {
  override readonly name = 'TemplateError';
}

/** @throws TemplateError */
export function parsePathTemplate(text: string): PathTemplate {
  return new TemplateParser(text).parse();
}

const LITERAL = /^(?:[-A-Za-z0-9._~!$&'()+,;=@]|%[0-9A-Fa-f]{2})+/;
const FIELD_PATH = /^[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*/;

/** One pass from left to right; `rest` is what is not read yet. */
class TemplateParser {
  readonly #text: string;
  #rest: string;
  readonly #segments: TemplateSegment[] = [];
  readonly #variables: TemplateVariable[] = [];

  constructor(text: string) {
    this.#text = text;
    this.#rest = text;
  }

  parse(): PathTemplate {
    this.#expect('/');
    this.#readSegments(false);
    const verb = this.#rest.startsWith(':') ? this.#readVerb() : null;
    if (this.#rest !== '') this.#fail('the end of the path, "/" or ":"');
    this.#checkRestIsLast();
    this.#checkVariablesAreDistinct();
    const path = this.#segments.map(segmentText).join('/');
    const shape = `/${path}${verb === null ? '' : `:${encodeURIComponent(verb)}`}`;
    return Object.freeze({ text: this.#text, segments: this.#segments, variables: this.#variables, verb, shape });
  }

  #readSegments(inVariable: boolean): void {
    do this.#readSegment(inVariable);
    while (this.#take('/'));
  }

  #readSegment(inVariable: boolean): void {
    if (this.#take('**')) this.#segments.push({ kind: 'rest' });
    else if (this.#take('*')) this.#segments.push({ kind: 'one' });
    else if (!inVariable && this.#take('{')) this.#readVariable();
    else this.#segments.push({ kind: 'literal', text: this.#readLiteral('a literal, "*", "**" or a variable') });
  }

  #readVariable(): void {
    const fieldPath = this.#readPattern(FIELD_PATH, 'a field path');
    const start = this.#segments.length;
    if (this.#take('=')) this.#readSegments(true);
    else this.#segments.push({ kind: 'one' });
    this.#expect('}');
    const captured = this.#segments.slice(start);
    const multiSegment = captured.length > 1 || captured[0]!.kind === 'rest';
    this.#variables.push({ fieldPath, start, end: this.#segments.length, multiSegment });
  }

  #readVerb(): string {
    this.#expect(':');
    return this.#readLiteral('a verb');
  }

  #readLiteral(expected: string): string {
    const raw = this.#readPattern(LITERAL, expected);
    try {
      return decodeURIComponent(raw);
    } catch {
      throw new TemplateError(`"${raw}" in "${this.#text}" is not percent-encoded UTF-8`);
    }
  }

  #readPattern(pattern: RegExp, expected: string): string {
    const match = pattern.exec(this.#rest);
    if (!match) return this.#fail(expected);
    this.#rest = this.#rest.slice(match[0].length);
    return match[0];
  }

  #take(text: string): boolean {
    if (!this.#rest.startsWith(text)) return false;
    this.#rest = this.#rest.slice(text.length);
    return true;
  }

  #expect(text: string): void {
    if (!this.#take(text)) this.#fail(`"${text}"`);
  }

  #fail(expected: string): never {
    const position = this.#text.length - this.#rest.length + 1;
    const found = this.#rest === '' ? 'the end' : `"${this.#rest[0]}"`;
    throw new TemplateError(`path "${this.#text}" has ${found} at position ${position}, expected ${expected}`);
  }

  #checkRestIsLast(): void {
    const position = this.#segments.findIndex((segment) => segment.kind === 'rest');
    if (position >= 0 && position < this.#segments.length - 1) {
      throw new TemplateError(`path "${this.#text}" has "**" before its last segment, expected it at the end only`);
    }
  }

  #checkVariablesAreDistinct(): void {
    const seen = new Set<string>();
    for (const { fieldPath } of this.#variables) {
      if (seen.has(fieldPath)) throw new TemplateError(`path "${this.#text}" binds "${fieldPath}" twice`);
      seen.add(fieldPath);
    }
  }
}

function segmentText(segment: TemplateSegment): string {
  if (segment.kind === 'literal') return encodeURIComponent(segment.text);
  return segment.kind === 'one' ? '*' : '**';
}
