import { Failure } from '../../runtime/failure.ts';
import { isOperationId } from '../../runtime/ids.ts';
import { OPERATION_STATES, type Operation, type OperationState } from '../operation.ts';
import type { OperationQuery, OperationSlice } from '../store-ports.ts';

const DEFAULT_PAGE_SIZE = 50;
const MAX_PAGE_SIZE = 1000;

export interface ListRequest {
  readonly command: string | null;
  readonly state: string | null;
  /** Null or 0: 50. Above 1000 is taken as 1000 (AIP-158). */
  readonly pageSize: number | null;
  readonly pageToken: string | null;
}

export interface OperationPage {
  /** Fewer than were asked for where they are large (AIP-158): the end is where there is no token. */
  readonly operations: readonly Operation[];
  /** Null on the last page. */
  readonly nextPageToken: string | null;
}

/** One page of operations, newest first. Throws `Failure` `REQUEST_INVALID` (state, page size), `PAGE_TOKEN_INVALID`. */
export async function listPage(
  request: ListRequest,
  read: (query: Omit<OperationQuery, 'principal'>) => Promise<OperationSlice>,
): Promise<OperationPage> {
  const state = readState(request.state);
  const limit = readPageSize(request.pageSize);
  const beforeId = request.pageToken === null ? null : readPageToken(request.pageToken, request);
  const { operations, hasMore } = await read({ command: request.command, state, beforeId, limit });
  const last = hasMore ? operations.at(-1) : undefined;
  return { operations, nextPageToken: last ? writePageToken(last.id, request) : null };
}

function readState(text: string | null): OperationState | null {
  if (text === null || text === '') return null;
  const state = OPERATION_STATES.find((known) => known === text);
  if (state) return state;
  const detail = `state must be one of ${OPERATION_STATES.join(', ')}`;
  throw new Failure('REQUEST_INVALID', detail, { violations: [{ detail, parameter: 'state' }] });
}

function readPageSize(size: number | null): number {
  if (size === null || size === 0) return DEFAULT_PAGE_SIZE;
  if (Number.isInteger(size) && size > 0) return Math.min(size, MAX_PAGE_SIZE);
  const detail = 'page_size must be a whole number of 0 or more';
  throw new Failure('REQUEST_INVALID', detail, { violations: [{ detail, parameter: 'page_size' }] });
}

/** AIP-158: opaque, and good only with the filters it was made for. */
function writePageToken(beforeId: string, request: ListRequest): string {
  return Buffer.from(JSON.stringify([beforeId, request.command ?? '', request.state ?? ''])).toString('base64url');
}

function readPageToken(token: string, request: ListRequest): string | null {
  if (token === '') return null;
  const refuse = () =>
    new Failure('PAGE_TOKEN_INVALID', 'page_token is not one that this list gave with these filters', {
      violations: [
        { detail: 'expected the nextPageToken of the page before, with the same filters', parameter: 'page_token' },
      ],
    });
  let parts: unknown;
  try {
    parts = JSON.parse(Buffer.from(token, 'base64url').toString());
  } catch {
    throw refuse();
  }
  if (!Array.isArray(parts) || parts.length !== 3 || typeof parts[0] !== 'string' || !isOperationId(parts[0]))
    throw refuse();
  if (parts[1] !== (request.command ?? '') || parts[2] !== (request.state ?? '')) throw refuse();
  return parts[0];
}
