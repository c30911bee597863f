/** The query of `GET /operations` (AIP-158, AIP-160 in small). */

import { OPERATION_STATES } from '../../operations/operation.ts';
import { Failure } from '../../runtime/failure.ts';
import type { ListQuery } from '../call.ts';

const PARAMETERS = ['command', 'state', 'page_size', 'page_token'];
const PAGE_SIZE = /^[0-9]{1,9}$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not get into a filter.
const CONTROL = /[\u0000-\u001f\u007f]/;

/** @throws Failure REQUEST_MALFORMED, REQUEST_INVALID or PAGE_TOKEN_INVALID, with the parameter. */
export function readListQuery(query: string): ListQuery {
  const values = readParameters(query);
  return {
    command: values.get('command') || null,
    state: readState(values.get('state') || null),
    pageSize: readPageSize(values.get('page_size') || null),
    pageToken: values.get('page_token') || null,
  };
}

function readParameters(query: string): Map<string, string> {
  const values = new Map<string, string>();
  for (const part of query.split('&')) {
    if (part === '') continue;
    const equals = part.indexOf('=');
    const name = decode(equals < 0 ? part : part.slice(0, equals), null);
    const value = equals < 0 ? '' : decode(part.slice(equals + 1), name);
    if (!PARAMETERS.includes(name)) throw invalid(name, `is not known, expected one of ${PARAMETERS.join(', ')}`);
    if (values.has(name)) throw invalid(name, 'is given more than once, expected one value');
    values.set(name, value);
  }
  return values;
}

function decode(raw: string, name: string | null): string {
  const text = decodeOrNull(raw);
  const parameter = name ?? raw;
  if (text === null) {
    throw new Failure('REQUEST_MALFORMED', `query parameter ${parameter} is not percent-encoded UTF-8`, {
      violations: [{ parameter, detail: 'expected percent-encoded UTF-8' }],
    });
  }
  if (CONTROL.test(text)) throw invalid(parameter, 'has a control character, expected text without one');
  return text;
}

function decodeOrNull(raw: string): string | null {
  try {
    return decodeURIComponent(raw.replaceAll('+', ' '));
  } catch {
    return null;
  }
}

function readState(text: string | null): string | null {
  if (text === null || (OPERATION_STATES as readonly string[]).includes(text)) return text;
  throw invalid('state', `expected one of ${OPERATION_STATES.join(', ')}`);
}

/** 0 and nothing are the default (AIP-158). */
function readPageSize(text: string | null): number | null {
  if (text === null) return null;
  if (!PAGE_SIZE.test(text)) throw invalid('page_size', 'expected a whole number that is not negative');
  return Number(text) === 0 ? null : Number(text);
}

function invalid(parameter: string, detail: string): Failure {
  return new Failure('REQUEST_INVALID', `${parameter}: ${detail}`, { violations: [{ parameter, detail }] });
}
