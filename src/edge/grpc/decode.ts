/** A unary gRPC call as the neutral `Call`. */

import type { Command, ContractMessage } from '../../contract/command.ts';
import type { WaitPreference } from '../../operations/invocation.ts';
import { ANONYMOUS, type Operation } from '../../operations/operation.ts';
import type { Call } from '../call.ts';
import { OnlyRequest, readHops, refuseUnkeptPromises } from '../call-head.ts';
import { IDEMPOTENCY_KEY, readIdempotencyKey } from '../idempotency-key.ts';
import type { Exchange } from './exchange.ts';

/** @throws Failure HEADERS_TOO_LARGE, HEADER_INVALID, FEATURE_UNSUPPORTED */
export function toCall(exchange: Exchange, command: Command): Call {
  exchange.checkLimits();
  refuseUnkeptPromises((name) => exchange.header(name));
  return new UnaryCall(exchange, command, readHops(exchange.header('sluice-hops')));
}

class UnaryCall implements Call {
  readonly requestId: string;
  readonly command: Command;
  readonly principal = ANONYMOUS;
  readonly requests: AsyncIterable<ContractMessage>;
  readonly wait: WaitPreference;
  readonly idempotencyKey: string | null;
  readonly traceparent: string;
  readonly tracestate: string | null;
  readonly hops: number;
  readonly onRecorded: (operation: Operation) => void;
  readonly #exchange: Exchange;

  constructor(exchange: Exchange, command: Command, hops: number) {
    this.#exchange = exchange;
    this.onRecorded = (operation) => exchange.announce(operation.id);
    this.requestId = exchange.requestId;
    this.command = command;
    this.requests = new OnlyRequest(() => decode(command, exchange));
    this.wait = { kind: 'until', atMs: exchange.waitUntilMs };
    // HTTP/2 has joined repeated entries by commas, which a key as it is may not hold and a quoted one not stand beside.
    this.idempotencyKey = readIdempotencyKey(exchange.header(IDEMPOTENCY_KEY), false);
    this.traceparent = exchange.trace.traceparent;
    this.tracestate = exchange.trace.tracestate;
    this.hops = hops;
  }

  get signal(): AbortSignal {
    return this.#exchange.signal;
  }

  header(name: string): string | null {
    return this.#exchange.header(name);
  }
}

function decode(command: Command, exchange: Exchange): ContractMessage {
  const message = command.codec.requestFromBinary(exchange.requestBytes);
  command.codec.validateRequest(message);
  return message;
}
