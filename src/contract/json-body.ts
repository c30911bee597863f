import { Failure, type Violation } from '../runtime/failure.ts';
import type { JsonValue } from './command.ts';
import { formatPointer, type JsonPath } from './json-path.ts';

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false });
const MAX_VIOLATIONS = 20;
/** Far above what a codec takes; keeps the paths below from growing with the square of a hostile body. */
const MAX_JSON_DEPTH = 512;

/**
 * A request body as JSON (RFC 8259). Of a repeated member name the last counts; `__proto__` is a name like any other.
 * How deep it may nest is the codec's to say.
 * @throws Failure REQUEST_MALFORMED: no UTF-8, no JSON; REQUEST_INVALID: a lone surrogate or NUL in a text.
 */
export function parseJsonBody(bytes: Uint8Array): JsonValue {
  const text = decodeUtf8(bytes);
  const value = parseJson(text);
  // Only an escape can bring a lone surrogate or a NUL into a text that was decoded from valid UTF-8.
  if (text.includes('\\u')) refuseBadTexts(value);
  return value;
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch (cause) {
    throw new Failure('REQUEST_MALFORMED', 'the body is not valid UTF-8', {
      violations: [{ pointer: '#', detail: 'expected JSON in UTF-8' }],
      cause,
    });
  }
}

function parseJson(text: string): JsonValue {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Failure('REQUEST_MALFORMED', `the body is not JSON: ${shorten(reason)}`, {
      violations: [{ pointer: '#', detail: shorten(reason) }],
      cause,
    });
  }
}

/** V8 quotes the text around the fault; the caller has it and the log should not. */
function shorten(reason: string): string {
  const position = /at position \d+(?: \(line \d+ column \d+\))?/.exec(reason)?.[0];
  if (/end of JSON/.test(reason)) return 'it ends too early';
  const what =
    /^(?:Unexpected token|Bad control character|Bad escaped character|Unexpected number|Unexpected string|Expected [^ ]+(?: [^ ]+){0,6}? in JSON|Unterminated string|Bad Unicode escape)/.exec(
      reason,
    )?.[0];
  return `${what?.replace(/ in JSON$/, '') ?? 'unexpected text'}${position ? ` ${position}` : ''}`;
}

/** @throws Failure REQUEST_INVALID: a lone surrogate or NUL in a text. */
export function refuseBadTexts(root: JsonValue): void {
  const violations: Violation[] = [];
  // A stack of our own: how deep a body nests is not known to be bounded here.
  const open: { value: JsonValue; path: JsonPath }[] = [{ value: root, path: [] }];
  for (let next = open.pop(); next && violations.length < MAX_VIOLATIONS; next = open.pop()) {
    const { value, path } = next;
    if (path.length > MAX_JSON_DEPTH) throw refuseDepth();
    if (typeof value === 'string') checkText(value, path, violations);
    else if (typeof value === 'object' && value !== null) {
      for (const [key, child] of Object.entries(value)) {
        if (!Array.isArray(value)) checkText(key, path, violations);
        open.push({ value: child, path: [...path, key] });
      }
    }
  }
  if (violations.length > 0)
    throw new Failure('REQUEST_INVALID', 'the request has texts that cannot be used', { violations });
}

function refuseDepth(): Failure {
  return new Failure('REQUEST_MALFORMED', 'the request nests too deep', {
    violations: [{ pointer: '#', detail: `nests deeper than ${MAX_JSON_DEPTH} values` }],
  });
}

function checkText(text: string, path: JsonPath, violations: Violation[]): void {
  const detail = describeBadText(text);
  if (detail) violations.push({ pointer: formatPointer(path), detail });
}

/** What is wrong with a text that is to be a protobuf string; null for a good one. */
export function describeBadText(text: string): string | null {
  if (!text.isWellFormed()) return 'has half of a surrogate pair, expected Unicode text';
  return text.includes('\u0000') ? 'has the character NUL, expected text without it' : null;
}
