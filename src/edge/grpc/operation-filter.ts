import { OPERATION_STATES } from '../../operations/operation.ts';
import { Failure } from '../../runtime/failure.ts';

export interface OperationFilter {
  readonly command: string | null;
  readonly state: string | null;
}

/** `field = "value"`, the value bare or quoted. */
const COMPARISON = /^\s*(\w+)\s*=\s*(?:"([^"\\]*)"|([^\s"=]+))\s*$/;
const MAX_FILTER_CHARACTERS = 1000;

/**
 * The part of AIP-160 that is served: `command = "…"` and `state = …`, joined by `AND`. States in either case.
 * @throws Failure REQUEST_INVALID
 */
export function parseFilter(text: string): OperationFilter {
  const filter: { command: string | null; state: string | null } = { command: null, state: null };
  if (text.trim() === '') return filter;
  if (text.length > MAX_FILTER_CHARACTERS) refuse(`expected at most ${MAX_FILTER_CHARACTERS} characters`);
  for (const part of text.split(/\s+AND\s+/)) {
    const match = COMPARISON.exec(part);
    if (!match) refuse('expected `command = "…"`, `state = …`, or both joined by AND');
    const field = match[1] as string;
    const value = match[2] ?? (match[3] as string);
    if (field !== 'command' && field !== 'state') refuse(`no field ${field} to filter by, expected command or state`);
    if (filter[field] !== null) refuse(`${field} is given twice`);
    filter[field] = field === 'state' ? readState(value) : value;
  }
  return filter;
}

function readState(text: string): string {
  const state = OPERATION_STATES.find((known) => known === text.toLowerCase());
  return state ?? refuse(`no state ${text}, expected one of ${OPERATION_STATES.join(', ')}`);
}

function refuse(detail: string): never {
  throw new Failure('REQUEST_INVALID', `the filter cannot be used: ${detail}`, {
    violations: [{ detail, pointer: '#/filter' }],
  });
}
