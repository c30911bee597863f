/** The status resource: one operation, its result, the list. */

import type { Command } from '../../contract/command.ts';
import { failureOfOperation } from '../../operations/failures.ts';
import { ANONYMOUS, isTerminal, type Operation, resultOf } from '../../operations/operation.ts';
import type { Clock } from '../../runtime/clock.ts';
import { Failure } from '../../runtime/failure.ts';
import { isOperationId } from '../../runtime/ids.ts';
import type { OperationResource } from '../call.ts';
import { answerOf } from '../handle.ts';
import { refuseMethod } from './command-routes.ts';
import { answerJson, type Exchange, type RestAnswer } from './exchange.ts';
import type { Incoming } from './incoming.ts';
import type { Links } from './links.ts';
import { readListQuery } from './list-query.ts';
import { requireAcceptable } from './negotiate.ts';
import { parsePrefer } from './prefer.ts';
import { toRetrySeconds } from './problem.ts';
import { addWorkerHeaders, pendingHeaders, withBody } from './render.ts';
import { etagOf, matchesEtag, writeStatusDocument } from './status-document.ts';

export interface OperationRoutesOptions {
  readonly commands: ReadonlyMap<string, Command>;
  readonly operations: OperationResource;
  readonly links: Links;
  readonly clock: Clock;
  /** The longest that a status request is kept open, whatever the caller asks for. */
  readonly maxLongPollMs: number;
  readonly pollAfterMs: number;
}

/** A snapshot, and the wait that was granted to get it; null where none was asked for. */
interface Polled {
  readonly operation: Operation;
  readonly appliedSeconds: number | null;
}

const READ = ['GET'];
const CACHE_CONTROL = 'private, no-cache';

export class OperationRoutes {
  readonly #options: OperationRoutesOptions;

  constructor(options: OperationRoutesOptions) {
    this.#options = options;
  }

  /** `GET /operations/{id}`: 200 whatever became of it, 304 where the caller has this version. @throws Failure */
  async serveOne(exchange: Exchange, id: string): Promise<RestAnswer> {
    const { incoming } = exchange;
    exchange.route = '/operations/{id}';
    if (!isRead(incoming)) return refuseMethod(incoming.method, READ);
    requireAcceptable(incoming.header('accept'));
    const ifNoneMatch = incoming.header('if-none-match');
    const polled = await this.#poll(incoming, id, ifNoneMatch);
    const etag = etagOf(polled.operation);
    const headers = { ...this.#headersOf(polled), etag };
    if (matchesEtag(ifNoneMatch, etag)) return answerNotModified(polled.operation, headers);
    return { ...answerJson(200, headers, this.#write(incoming, polled.operation)), operationId: id };
  }

  /** `GET /operations/{id}/result`: what the synchronous call would have answered; 202 while not done. @throws Failure */
  async serveResult(exchange: Exchange, id: string): Promise<RestAnswer> {
    const { incoming } = exchange;
    exchange.route = '/operations/{id}/result';
    if (!isRead(incoming)) return refuseMethod(incoming.method, READ);
    requireAcceptable(incoming.header('accept'));
    const polled = await this.#poll(incoming, id, null);
    const { operation } = polled;
    const headers = this.#headersOf(polled);
    if (!isTerminal(operation.state)) return this.#answerPending(incoming, operation, headers);
    if (resultOf(operation) === null) throw failureOfOperation(operation);
    return { ...(await this.#replay(operation, headers)), operationId: id };
  }

  /** `GET /operations`: the caller's own. @throws Failure */
  async serveList(exchange: Exchange): Promise<RestAnswer> {
    const { incoming } = exchange;
    exchange.route = '/operations';
    if (!isRead(incoming)) return refuseMethod(incoming.method, READ);
    requireAcceptable(incoming.header('accept'));
    const query = readListQuery(incoming.query, this.#options.commands);
    const page = await this.#options.operations.list(ANONYMOUS, query);
    const documents = page.operations.map((operation) => this.#write(incoming, operation));
    const body = `{"operations":[${documents.join(',')}],"nextPageToken":${JSON.stringify(page.nextPageToken ?? '')}}`;
    return answerJson(200, { 'cache-control': CACHE_CONTROL }, body);
  }

  /**
   * `Prefer: wait=N`: until done; with `If-None-Match` until the version is none of those. Read first, then wait for
   * another version than the one read, so that no change falls between.
   */
  async #poll(incoming: Incoming, id: string, ifNoneMatch: string | null): Promise<Polled> {
    requireOperationId(id);
    const { operations, clock, maxLongPollMs } = this.#options;
    const { waitSeconds } = parsePrefer(incoming.header('prefer'));
    if (waitSeconds === null) return { operation: await operations.get(id, ANONYMOUS), appliedSeconds: null };
    const waitMs = Math.min(waitSeconds * 1000, maxLongPollMs);
    const appliedSeconds = Math.floor(waitMs / 1000);
    const wait = { untilMs: clock.monotonicMs() + waitMs, signal: incoming.signal };
    if (ifNoneMatch === null) return { operation: await operations.wait(id, ANONYMOUS, wait), appliedSeconds };
    const known = await operations.get(id, ANONYMOUS);
    // A finished operation has no later version, and `*` is matched by every one.
    const changes = !isTerminal(known.state) && ifNoneMatch.trim() !== '*' && matchesEtag(ifNoneMatch, etagOf(known));
    if (!changes) return { operation: known, appliedSeconds };
    return {
      operation: await operations.wait(id, ANONYMOUS, { ...wait, unlessVersion: known.version }),
      appliedSeconds,
    };
  }

  #headersOf({ operation, appliedSeconds }: Polled): Record<string, string> {
    const headers: Record<string, string> = {
      'cache-control': CACHE_CONTROL,
      vary: 'Prefer',
    };
    if (appliedSeconds !== null) headers['preference-applied'] = `wait=${appliedSeconds}`;
    if (!isTerminal(operation.state)) headers['retry-after'] = String(toRetrySeconds(this.#options.pollAfterMs));
    return headers;
  }

  #answerPending(incoming: Incoming, operation: Operation, headers: Record<string, string>): RestAnswer {
    const links = this.#options.links.ofOperation(incoming, operation.id);
    Object.assign(headers, pendingHeaders(links, this.#options.pollAfterMs));
    const answer = answerJson(202, headers, this.#write(incoming, operation));
    return { ...answer, outcome: 'ACCEPTED', operationId: operation.id };
  }

  async #replay(operation: Operation, headers: Record<string, string>): Promise<RestAnswer> {
    const command = this.#options.commands.get(operation.command);
    if (!command) return replayStored(operation, headers);
    const answer = answerOf(command, operation);
    if (answer.kind !== 'messages') throw new Error(`operation ${operation.id} is done and answers ${answer.kind}`);
    addWorkerHeaders(headers, answer.headers);
    for await (const message of answer.messages) {
      return withBody(answer.httpStatus, headers, command.codec.replyToJson(message));
    }
    throw new Error(`operation ${operation.id} answers no message`);
  }

  #write(incoming: Incoming, operation: Operation): string {
    const command = this.#options.commands.get(operation.command) ?? null;
    return writeStatusDocument(operation, command, this.#options.links.ofOperation(incoming, operation.id));
  }
}

/** The contract of this instance does not have the command (any more): the worker's bytes as they came. */
function replayStored(operation: Operation, headers: Record<string, string>): RestAnswer {
  const { value = null, contentType = null, httpStatus = null } = operation.result ?? {};
  const answer = withBody(httpStatus ?? 200, headers, '');
  if (answer.body === null) return answer;
  headers['content-type'] = contentType ?? 'application/octet-stream';
  return { ...answer, body: value ?? new Uint8Array() };
}

/** @throws Failure OPERATION_NOT_FOUND */
export function requireOperationId(id: string): void {
  if (!isOperationId(id)) throw new Failure('OPERATION_NOT_FOUND', 'there is no operation of this id');
}

function isRead(incoming: Incoming): boolean {
  return incoming.method === 'GET' || incoming.method === 'HEAD';
}

function answerNotModified(operation: Operation, headers: Record<string, string>): RestAnswer {
  return { status: 304, headers, body: null, outcome: 'NOT_MODIFIED', delivery: null, operationId: operation.id };
}
