/** The query of `GET /operations` (AIP-158, AIP-160 in small). */

import { OPERATION_STATES } from '../../operations/operation.ts';
import type { ListRequest } from '../../operations/resource/list.ts';
import { refuseUnknownCommand } from '../list-filter.ts';
import { invalidParameter, readParameters, readWholeNumber } from './query-parameters.ts';

const PARAMETERS = ['command', 'state', 'page_size', 'page_token'];

/** @throws Failure REQUEST_MALFORMED, REQUEST_INVALID or PAGE_TOKEN_INVALID, with the parameter. */
export function readListQuery(query: string, commands: ReadonlyMap<string, unknown>): ListRequest {
  const values = readParameters(query, PARAMETERS);
  const command = values.get('command') || null;
  refuseUnknownCommand(command, commands, (detail) => invalidParameter('command', detail));
  return {
    command,
    state: readState(values.get('state') || null),
    // 0 and nothing are the default (AIP-158).
    pageSize: readWholeNumber(values, 'page_size') || null,
    pageToken: values.get('page_token') || null,
  };
}

function readState(text: string | null): string | null {
  if (text === null || (OPERATION_STATES as readonly string[]).includes(text)) return text;
  throw invalidParameter('state', `expected one of ${OPERATION_STATES.join(', ')}`);
}
