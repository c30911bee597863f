/** `GET /operations/{id}/events`: the history of an operation, as a list or as a stream that goes on until it is done. */

import { ANONYMOUS, isTerminal, type Operation } from '../../operations/operation.ts';
import type { RecordedEvent } from '../../operations/store-ports.ts';
import type { Clock } from '../../runtime/clock.ts';
import { Failure } from '../../runtime/failure.ts';
import type { Metrics } from '../../runtime/metrics.ts';
import type { OperationResource } from '../call.ts';
import { refuseMethod } from './command-routes.ts';
import { describeEvent } from './event-document.ts';
import { EventFeed } from './event-feed.ts';
import { EventStreams } from './event-streams.ts';
import { answerJson, type Exchange, type RestAnswer } from './exchange.ts';
import type { Incoming } from './incoming.ts';
import type { Links } from './links.ts';
import { requireEventsAcceptable } from './negotiate.ts';
import { requireOperationId } from './operations-routes.ts';
import { readParameters, readWholeNumber } from './query-parameters.ts';

export interface HistoryRoutesOptions {
  readonly operations: OperationResource;
  readonly links: Links;
  readonly clock: Clock;
  readonly metrics: Metrics;
  /** Streams that may be open at once. */
  readonly maxEventStreams: number;
  readonly pollAfterMs: number;
  /** Aborts when this instance drains: streams end, and their readers come back to another one. */
  readonly draining: AbortSignal;
}

/** So many events the resource gives at a time. */
const MAX_PAGE_SIZE = 200;
const READ = ['GET'];
const HEADERS = { 'cache-control': 'private, no-cache', vary: 'Accept' };
const EVENT_NUMBER = /^[0-9]{1,9}$/;

interface Query {
  readonly after: number;
  readonly pageSize: number;
}

export class HistoryRoutes {
  readonly #options: HistoryRoutesOptions;
  readonly #streams: EventStreams;

  constructor(options: HistoryRoutesOptions) {
    const { maxEventStreams, pollAfterMs, clock, metrics } = options;
    const streams = new EventStreams({ maxOpen: maxEventStreams, retryAfterMs: pollAfterMs, clock });
    this.#options = options;
    this.#streams = streams;
    metrics.gauge('sluice_event_streams', 'Open streams of operation histories.', () => streams.open);
  }

  /** @throws Failure */
  async serve(exchange: Exchange, id: string): Promise<RestAnswer> {
    const { incoming } = exchange;
    exchange.route = '/operations/{id}/events';
    if (incoming.method !== 'GET' && incoming.method !== 'HEAD') return refuseMethod(incoming.method, READ);
    const wanted = requireEventsAcceptable(incoming.header('accept'));
    const query = readQuery(incoming.query);
    requireOperationId(id);
    const cursor = wanted === 'stream' ? (readLastEventId(incoming) ?? query.after) : query.after;
    const operation = await this.#options.operations.get(id, ANONYMOUS);
    return wanted === 'stream'
      ? this.#answerStream(incoming, operation, cursor)
      : this.#answerList(incoming, operation, query);
  }

  async #answerList(incoming: Incoming, operation: Operation, { after, pageSize }: Query): Promise<RestAnswer> {
    const read = await this.#options.operations.readEvents(operation.id, ANONYMOUS, after);
    const page = read.slice(0, pageSize);
    const describe = this.#describeFor(incoming);
    const isLast = page.length === read.length && read.length < MAX_PAGE_SIZE;
    const nextAfter = isLast ? null : (page.at(-1)?.number ?? null);
    const body = JSON.stringify({ events: page.map((event) => describe(event, operation)), nextAfter });
    return { ...answerJson(200, { ...HEADERS }, body), operationId: operation.id };
  }

  /** 204 tells an `EventSource` that all is over; whatever else ends its stream, it comes back for more. */
  #answerStream(incoming: Incoming, operation: Operation, after: number): RestAnswer {
    const base = { body: null, outcome: 'OK', delivery: null, operationId: operation.id };
    if (isTerminal(operation.state) && after === operation.version) {
      return { ...base, status: 204, headers: { ...HEADERS } };
    }
    const headers = {
      ...HEADERS,
      'content-type': 'text/event-stream',
      // nginx would gather events until its buffer is full.
      'x-accel-buffering': 'no',
      // HTTP/1.1: the connection was begun for this stream and a drain must not wait until it has idled long enough.
      connection: 'close',
    };
    if (incoming.method === 'HEAD') return { ...base, status: 200, headers };
    const source = (left: AbortSignal) => this.#follow(incoming, operation, after, left);
    const stream = this.#streams.start(source, () => incoming.cutOff());
    return { ...base, status: 200, headers, body: stream.body, ended: stream.ended };
  }

  #follow(incoming: Incoming, operation: Operation, after: number, left: AbortSignal) {
    const { operations, clock, pollAfterMs, draining } = this.#options;
    const signal = AbortSignal.any([left, draining]);
    const describe = this.#describeFor(incoming);
    const feed = { operations, clock, principal: ANONYMOUS, after, operation, signal, retryMs: pollAfterMs, describe };
    return new EventFeed(feed).read();
  }

  #describeFor(incoming: Incoming) {
    const { links } = this.#options;
    return (event: RecordedEvent, operation: Operation) =>
      describeEvent(event, operation, links.ofOperation(incoming, operation.id).self);
  }
}

function readQuery(query: string): Query {
  const values = readParameters(query, ['after', 'page_size']);
  const pageSize = readWholeNumber(values, 'page_size') || MAX_PAGE_SIZE;
  return { after: readWholeNumber(values, 'after') ?? 0, pageSize: Math.min(pageSize, MAX_PAGE_SIZE) };
}

/** What an `EventSource` sends when it comes back. @throws Failure HEADER_INVALID */
function readLastEventId(incoming: Incoming): number | null {
  const text = incoming.header('last-event-id');
  if (text === null || text === '') return null;
  if (EVENT_NUMBER.test(text)) return Number(text);
  throw new Failure('HEADER_INVALID', 'last-event-id is no number of an event', {
    violations: [{ header: 'last-event-id', detail: 'expected the id of an event of this stream, a whole number' }],
  });
}
