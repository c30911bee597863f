/**
 * What grpc-js refuses by itself, before any handler runs, told as Sluice tells it: bad input is the caller's fault with
 * details and a log line, where grpc-js says INTERNAL or a bare code.
 */

import { Metadata, type ServerInterceptingCall, type ServerInterceptor, status } from '@grpc/grpc-js';
import { statusType } from '../../contract/own-messages.ts';
import { Failure } from '../../runtime/failure.ts';
import type { ExchangeDeps } from './exchange.ts';
import { codeNameOf, statusOf, troubleOf } from './status.ts';

/** What every call has, as far as it matters here; grpc-js does not export the type's only public name. */
type SendsStatus = Pick<ServerInterceptingCall, 'sendStatus'>;
type SentStatus = Parameters<ServerInterceptingCall['sendStatus']>[0];

export interface TransportErrorDeps extends ExchangeDeps {
  readonly contract: { readonly commands: ReadonlyMap<string, unknown> };
}

export function explainTransportErrors(deps: TransportErrorDeps): ServerInterceptor {
  return (method, call) => {
    const name = method.path.slice(1);
    replaceSendStatus(call, (sent) => explain(sent, name, deps));
    // Wrapping the call would be the documented way, at the price of five objects a call.
    return call as unknown as ServerInterceptingCall;
  };
}

function replaceSendStatus(call: SendsStatus, change: (sent: SentStatus) => SentStatus): void {
  const { sendStatus } = call;
  call.sendStatus = (sent) => sendStatus.call(call, change(sent));
}

function explain(sent: SentStatus, name: string, deps: TransportErrorDeps): SentStatus {
  // Whatever comes from our own handlers of commands carries metadata.
  if (sent.metadata || sent.code === status.OK) return sent;
  if (sent.code === status.DEADLINE_EXCEEDED) return explainDeadline(deps.contract.commands.has(name));
  const failure = failureOf(sent);
  if (failure === null) return sent;
  const requestId = deps.requestIds.next();
  const told = statusOf(troubleOf(failure, requestId, true));
  deps.callLog.record({
    edge: 'grpc',
    command: name,
    method: null,
    route: null,
    status: codeNameOf(told.code),
    outcome: failure.code,
    delivery: failure.delivery,
    durationMs: 0,
    requestId,
    operationId: null,
    sizeBytes: 0,
  });
  const metadata = new Metadata();
  metadata.set('x-request-id', requestId);
  metadata.set('grpc-status-details-bin', statusType.encode(told));
  return { code: told.code, details: told.message, metadata };
}

/**
 * grpc-js ends a call at its deadline by itself, where that comes before our answer. It is seen only by a client whose own
 * clock is behind. The handler goes on, and writes the line in the log.
 */
function explainDeadline(isCommand: boolean): SentStatus {
  const failure = new Failure('WAIT_EXPIRED', 'the deadline passed before there was an answer', {
    delivery: 'unknown',
  });
  const told = statusOf({ ...troubleOf(failure, '', isCommand), requestId: null });
  const metadata = new Metadata();
  metadata.set('grpc-status-details-bin', statusType.encode(told));
  return { code: told.code, details: told.message, metadata };
}

/** Known by their texts, for there is nothing else to know them by; a test sends each. */
function failureOf({ code, details }: SentStatus): Failure | null {
  const text = details ?? '';
  if (code === status.RESOURCE_EXHAUSTED && /^Received message.* larger than/.test(text)) {
    return new Failure('REQUEST_TOO_LARGE', text);
  }
  if (code !== status.INTERNAL) return null;
  if (text.startsWith('Invalid grpc-timeout')) {
    return new Failure('HEADER_INVALID', text, { violations: [{ header: 'grpc-timeout', detail: text }] });
  }
  if (text.startsWith('Failed to decompress'))
    return new Failure('REQUEST_MALFORMED', 'the message cannot be decompressed');
  return null;
}
