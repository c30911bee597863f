import type { Trace } from '../trace.ts';
import type { StreamEnd } from './event-streams.ts';
import type { Incoming } from './incoming.ts';

/** One request on its way through a route, and what is known of it for the log line. */
export interface Exchange {
  readonly incoming: Incoming;
  readonly requestId: string;
  readonly trace: Trace;
  /** Monotonic. */
  readonly startedMs: number;
  /** The template that matched, never the path itself: a label must come from a closed set. */
  route: string;
  /** `orders.v1.Orders/CreateOrder`; null on our own routes and where none matched. */
  command: string | null;
}

/** What a route answers, before the headers that every answer has. */
export interface RestAnswer {
  readonly status: number;
  /** By lower-case name; may be added to until it is sent. */
  readonly headers: Record<string, string>;
  readonly body: string | Uint8Array | ReadableStream<Uint8Array> | null;
  /** Of a stream: when it has ended, and is logged. Never rejects. */
  readonly ended?: Promise<StreamEnd>;
  /** `OK`, `ACCEPTED`, or the code of the failure. */
  readonly outcome: string;
  readonly delivery: string | null;
  readonly operationId: string | null;
}

export function answerJson(status: number, headers: Record<string, string>, body: string): RestAnswer {
  headers['content-type'] = 'application/json';
  return { status, headers, body, outcome: 'OK', delivery: null, operationId: null };
}
