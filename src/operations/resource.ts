import type { Clock } from '../runtime/clock.ts';
import { Failure } from '../runtime/failure.ts';
import { isOperationId, timeOfIdMs } from '../runtime/ids.ts';
import { RETRY_AFTER_MS } from './failures.ts';
import { isTerminal, OPERATION_STATES, type Operation, type OperationState, type Principal } from './operation.ts';
import { type OperationReads, type SettlementWaits, StoreError } from './ports.ts';

const DEFAULT_PAGE_SIZE = 50;
const MAX_PAGE_SIZE = 1000;

export interface ResourceOptions {
  /** How long finished operations are kept. */
  readonly retentionMs: number;
  /** Whether anonymous callers may list the operations of anonymous callers. */
  readonly listAnonymous: boolean;
}

export interface ListRequest {
  readonly command: string | null;
  readonly state: string | null;
  readonly pageSize: number | null;
  readonly pageToken: string | null;
}

/** The status resource: what a caller may know of operations. Somebody else's is as good as none. */
export class Resource {
  readonly #reads: OperationReads;
  readonly #waits: SettlementWaits;
  readonly #options: ResourceOptions;
  readonly #clock: Clock;

  constructor(reads: OperationReads, waits: SettlementWaits, options: ResourceOptions, clock: Clock) {
    this.#reads = reads;
    this.#waits = waits;
    this.#options = options;
    this.#clock = clock;
  }

  async get(id: string, principal: Principal): Promise<Operation> {
    if (!isOperationId(id)) throw new Failure('OPERATION_NOT_FOUND', 'an operation id is a UUIDv7 in lower case');
    const [operation] = await withStore(() => this.#reads.read([id]));
    return this.#see(id, operation ?? null, principal);
  }

  async wait(
    id: string,
    principal: Principal,
    options: { readonly untilMs: number; readonly signal: AbortSignal; readonly unlessVersion?: number },
  ): Promise<Operation> {
    const known = await this.get(id, principal);
    const { unlessVersion } = options;
    const until = (operation: Operation) =>
      unlessVersion === undefined ? isTerminal(operation.state) : operation.version !== unlessVersion;
    if (until(known)) return known;
    const waiting = { untilMs: options.untilMs, signal: options.signal, until, known };
    return (await withStore(() => this.#waits.waitFor(id, waiting))) ?? known;
  }

  async list(
    principal: Principal,
    request: ListRequest,
  ): Promise<{ operations: readonly Operation[]; nextPageToken: string | null }> {
    if (principal.id === '' && !this.#options.listAnonymous) {
      throw new Failure('LIST_NOT_PERMITTED', 'an anonymous caller gets no list of operations');
    }
    const state = readState(request.state);
    const pageSize = readPageSize(request.pageSize);
    const beforeId = request.pageToken === null ? null : readPageToken(request.pageToken, request);
    const query = { principal: principal.id, command: request.command, state, beforeId, limit: pageSize + 1 };
    const rows = await withStore(() => this.#reads.list(query));
    const operations = rows.slice(0, pageSize);
    const last = rows.length > pageSize ? operations.at(-1) : undefined;
    return { operations, nextPageToken: last ? writePageToken(last.id, request) : null };
  }

  #see(id: string, operation: Operation | null, principal: Principal): Operation {
    if (operation !== null && operation.principal === principal.id) return operation;
    if (operation === null && timeOfIdMs(id) + this.#options.retentionMs < this.#clock.wallMs()) {
      throw new Failure('OPERATION_GONE', `operation ${id} is past its retention`);
    }
    throw new Failure('OPERATION_NOT_FOUND', `there is no operation ${id}`);
  }
}

async function withStore<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    const detail = 'the operation store does not answer; the operation itself goes on';
    throw new Failure('STORE_UNAVAILABLE', detail, { delivery: 'unknown', retryAfterMs: RETRY_AFTER_MS, cause: error });
  }
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
