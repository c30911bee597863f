/** The query of our own routes: each parameter known, and given once. */

import { Failure } from '../../runtime/failure.ts';

const WHOLE_NUMBER = /^[0-9]{1,9}$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not get into a filter.
const CONTROL = /[\u0000-\u001f\u007f]/;

/** Decoded values by name. @throws Failure REQUEST_MALFORMED, REQUEST_INVALID, with the parameter. */
export function readParameters(query: string, known: readonly string[]): Map<string, string> {
  const values = new Map<string, string>();
  for (const part of query.split('&')) {
    if (part === '') continue;
    const equals = part.indexOf('=');
    const name = decode(equals < 0 ? part : part.slice(0, equals), null);
    const value = equals < 0 ? '' : decode(part.slice(equals + 1), name);
    if (!known.includes(name)) throw invalidParameter(name, `is not known, expected one of ${known.join(', ')}`);
    if (values.has(name)) throw invalidParameter(name, 'is given more than once, expected one value');
    values.set(name, value);
  }
  return values;
}

/** Null where absent or empty. @throws Failure REQUEST_INVALID */
export function readWholeNumber(values: ReadonlyMap<string, string>, name: string): number | null {
  const text = values.get(name) || null;
  if (text === null) return null;
  if (WHOLE_NUMBER.test(text)) return Number(text);
  throw invalidParameter(name, 'expected a whole number that is not negative');
}

export function invalidParameter(parameter: string, detail: string): Failure {
  return new Failure('REQUEST_INVALID', `${parameter}: ${detail}`, { violations: [{ parameter, detail }] });
}

function decode(raw: string, name: string | null): string {
  const text = decodeOrNull(raw);
  const parameter = name ?? raw;
  if (text === null) {
    throw new Failure('REQUEST_MALFORMED', `query parameter ${parameter} is not percent-encoded UTF-8`, {
      violations: [{ parameter, detail: 'expected percent-encoded UTF-8' }],
    });
  }
  if (CONTROL.test(text)) throw invalidParameter(parameter, 'has a control character, expected text without one');
  return text;
}

function decodeOrNull(raw: string): string | null {
  try {
    return decodeURIComponent(raw.replaceAll('+', ' '));
  } catch {
    return null;
  }
}
