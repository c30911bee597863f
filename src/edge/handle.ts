import type { Command, ContractMessage } from '../contract/command.ts';
import { failureOfOperation } from '../operations/failures.ts';
import type { Invocation, Outcome, WaitPreference } from '../operations/invocation.ts';
import { type HeaderText, type Operation, type OperationResult, resultOf } from '../operations/operation.ts';
import { endsCommand, type Reply } from '../operations/reply.ts';
import { Failure } from '../runtime/failure.ts';
import { Only } from '../runtime/only.ts';
import type { Answer, Call, Handle } from './call.ts';
import { identifyRequest, refuseMissingKey } from './idempotency-key.ts';

export interface HandleOptions {
  /** Gateways that a call may cross; past it the worker is calling itself. */
  readonly maxHops: number;
}

const AT_ONCE: WaitPreference = Object.freeze({ kind: 'none' });

type Invoke = (invocation: Invocation) => Promise<Outcome>;

/**
 * The way of a call through the core, the same for every edge. The order is the design: refuse what needs no payload,
 * then decode and validate, then decide. (Identity, permission, rate and in-flight limits have their places between.)
 */
export function createHandle(invoke: Invoke, options: HandleOptions): Handle {
  return async (call) => {
    refuseStreaming(call.command);
    refuseLoop(call, options.maxHops);
    refuseMissingKey(call);
    const request = await takeOnly(call);
    const outcome = await invoke(toInvocation(call, request));
    return toAnswer(call.command, outcome);
  };
}

function refuseStreaming(command: Command): void {
  if (command.kind !== 'unary') throw new Failure('STREAMING_UNSUPPORTED', `${command.name} is a streaming method`);
}

function refuseLoop(call: Call, maxHops: number): void {
  if (call.hops < maxHops) return;
  throw new Failure('CALL_LOOP', `sluice-hops is ${call.hops}; a call may cross ${maxHops} gateways at most`);
}

async function takeOnly(call: Call): Promise<ContractMessage> {
  for await (const request of call.requests) return request;
  throw new Failure('REQUEST_MALFORMED', 'the call carries no request message');
}

function toInvocation(call: Call, request: ContractMessage): Invocation {
  const { command } = call;
  const { value, contentType } = command.codec.encodeRequest(request);
  return {
    command,
    principal: call.principal,
    wait: waitOf(call),
    key: command.codec.keyOf(request),
    value,
    contentType,
    hops: call.hops + 1,
    traceparent: call.traceparent,
    tracestate: call.tracestate,
    extraHeaders: extraHeadersOf(call),
    idempotency: identifyRequest(call, request),
    signal: call.signal,
    ...(call.onRecorded ? { onRecorded: call.onRecorded } : {}),
  };
}

/**
 * Whoever calls a method that returns google.longrunning.Operation has asked for the operation, over every edge. A command
 * that fails at the end of its wait has none to give.
 */
function waitOf({ command, wait }: Call): WaitPreference {
  return command.returnsOperation && command.policy.onTimeout === 'ACCEPT' ? AT_ONCE : wait;
}

function extraHeadersOf(call: Call): HeaderText {
  const { constantHeaders, forwardHeaders } = call.command.policy;
  if (forwardHeaders.length === 0) return constantHeaders;
  const extra: [string, string][] = constantHeaders.map(([name, value]) => [name, value]);
  for (const name of forwardHeaders) {
    const value = call.header(name);
    if (value !== null) extra.push([name, value]);
  }
  return extra;
}

async function toAnswer(command: Command, outcome: Outcome): Promise<Answer> {
  switch (outcome.kind) {
    case 'replies': {
      const { head, messages } = await readReplies(command, outcome.replies);
      return { kind: 'messages', ...head, messages, operationId: null };
    }
    case 'settled':
      return answerOf(command, outcome.operation);
    case 'pending':
      return { kind: 'operation', operation: outcome.operation };
    case 'noted':
      return { kind: 'noted', operationId: outcome.operationId };
  }
}

/** What the synchronous call of a finished operation answers: also the replay at `/operations/{id}/result`. */
export function answerOf(command: Command, operation: Operation): Answer {
  const result = resultOf(operation);
  if (result === null) throw failureOfOperation(operation);
  const message = decode(command, result);
  const head = headOf(command, result.httpStatus, result.headers, []);
  return { kind: 'messages', ...head, messages: new Only(message), operationId: operation.id };
}

async function readReplies(
  command: Command,
  replies: AsyncIterable<Reply>,
): Promise<{
  head: Pick<Answer & { kind: 'messages' }, 'httpStatus' | 'headers' | 'trailers'>;
  messages: AsyncIterable<ContractMessage>;
}> {
  for await (const reply of replies) {
    if (!endsCommand(reply.kind)) continue;
    const message = decode(command, reply);
    return { head: headOf(command, reply.httpStatus, reply.headers, reply.trailers), messages: new Only(message) };
  }
  throw new Failure('REPLY_INVALID', 'the replies ended without a result', { delivery: 'unknown' });
}

function decode(command: Command, result: Pick<OperationResult, 'value' | 'contentType'>): ContractMessage {
  return command.codec.replyFromWire(result.value, result.contentType);
}

function headOf(
  command: Command,
  httpStatus: number | null,
  headers: HeaderText,
  trailers: HeaderText,
): { httpStatus: number; headers: HeaderText; trailers: HeaderText } {
  const { successStatus, replyHeaders } = command.policy;
  const letThrough = (all: HeaderText) =>
    all.length === 0 ? all : all.filter(([name]) => replyHeaders.includes(name));
  return { httpStatus: httpStatus ?? successStatus, headers: letThrough(headers), trailers: letThrough(trailers) };
}
