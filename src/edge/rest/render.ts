/** Answers of the core as HTTP. */

import type { Command, ContractMessage } from '../../contract/command.ts';
import type { HttpBinding } from '../../contract/http-rule.ts';
import type { HeaderText, Operation } from '../../operations/operation.ts';
import { Failure } from '../../runtime/failure.ts';
import type { Answer } from '../call.ts';
import { answerJson, type RestAnswer } from './exchange.ts';
import type { OperationLinks } from './links.ts';
import type { Preferences } from './prefer.ts';
import { toRetrySeconds } from './problem.ts';
import { writeStatusDocument } from './status-document.ts';

export interface RenderContext {
  readonly command: Command;
  readonly binding: HttpBinding;
  readonly preferences: Preferences;
  readonly linksOf: (operationId: string) => OperationLinks;
  readonly pollAfterMs: number;
}

/** Framing and connection are ours (RFC 9110 section 7.6.1), and so is what says what the body is and who the caller is. */
const NEVER_FROM_WORKERS = new Set([
  'connection',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'date',
  'keep-alive',
  'preference-applied',
  'proxy-authenticate',
  'proxy-connection',
  'set-cookie',
  'te',
  'traceparent',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'www-authenticate',
  'x-request-id',
]);
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9a-z-]+$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not get into a header.
const CONTROL = /[\u0000-\u0008\u000a-\u001f\u007f]/;

export async function renderAnswer(answer: Answer, context: RenderContext): Promise<RestAnswer> {
  switch (answer.kind) {
    case 'messages':
      return renderMessage(answer, context);
    case 'operation':
      return renderAccepted(answer.operation, context);
    case 'noted':
      return renderNoted(answer.operationId, context);
  }
}

async function renderMessage(answer: Answer & { kind: 'messages' }, context: RenderContext): Promise<RestAnswer> {
  const message = await takeOnly(answer.messages);
  const headers: Record<string, string> = { vary: 'Prefer' };
  const applied = describeWait(context);
  if (applied !== null) headers['preference-applied'] = applied;
  addWorkerHeaders(headers, answer.headers);
  const body = context.command.codec.replyToJson(message, context.binding);
  return { ...withBody(answer.httpStatus, headers, body), operationId: answer.operationId };
}

/** 204 and 205 have no body, whatever the worker said (RFC 9110 sections 15.3.5 and 15.3.6). */
export function withBody(status: number, headers: Record<string, string>, body: string): RestAnswer {
  const answer = answerJson(status, headers, body);
  if (status !== 204 && status !== 205) return answer;
  delete headers['content-type'];
  return { ...answer, body: null };
}

function renderAccepted(operation: Operation, context: RenderContext): RestAnswer {
  const links = context.linksOf(operation.id);
  const headers: Record<string, string> = { vary: 'Prefer', ...pendingHeaders(links, context.pollAfterMs) };
  const applied = describeWait(context) ?? describeAsync(context);
  if (applied !== null) headers['preference-applied'] = applied;
  const body = writeStatusDocument(operation, context.command, links);
  return { ...answerJson(202, headers, body), outcome: 'ACCEPTED', operationId: operation.id };
}

/** Of every 202 that has an operation. */
export function pendingHeaders(links: OperationLinks, pollAfterMs: number): Record<string, string> {
  return {
    location: links.path,
    'operation-location': links.self,
    'retry-after': String(toRetrySeconds(pollAfterMs)),
  };
}

/** A one-way command: the broker has it, and there is nothing to ask after. The id is that of its record (`ce_id`). */
function renderNoted(operationId: string, context: RenderContext): RestAnswer {
  const headers: Record<string, string> = { vary: 'Prefer' };
  const applied = describeAsync(context);
  if (applied !== null) headers['preference-applied'] = applied;
  return { ...answerJson(202, headers, JSON.stringify({ id: operationId })), outcome: 'NOTED', operationId };
}

/**
 * The wait that was honoured, for `Preference-Applied`: what was asked for, or the command's `max_wait` where that is
 * less. Null where no wait was asked for, and where the command is not waited for or fails at the end of its wait.
 */
function describeWait({ command, preferences }: RenderContext): string | null {
  const { onTimeout, style } = command.policy;
  if (preferences.waitSeconds === null || command.returnsOperation) return null;
  if (onTimeout === 'FAIL' || style === 'NOTIFY') return null;
  return `wait=${Math.min(preferences.waitSeconds, Math.floor(command.policy.maxWaitMs / 1000))}`;
}

function describeAsync({ command, preferences }: RenderContext): string | null {
  return preferences.respondAsync && command.policy.onTimeout === 'ACCEPT' ? 'respond-async' : null;
}

async function takeOnly(messages: AsyncIterable<ContractMessage>): Promise<ContractMessage> {
  for await (const message of messages) return message;
  throw new Failure('REPLY_INVALID', 'the answer holds no message', { delivery: 'unknown' });
}

/** Those that the policy lets through and HTTP can carry. Repeated ones become one list (RFC 9110 section 5.3). */
export function addWorkerHeaders(headers: Record<string, string>, fromWorker: HeaderText): void {
  for (const [anyName, text] of fromWorker) {
    const name = anyName.toLowerCase();
    if (NEVER_FROM_WORKERS.has(name) || !HEADER_NAME.test(name) || CONTROL.test(text)) continue;
    const value = Buffer.from(text, 'utf8').toString('latin1');
    const known = Object.hasOwn(headers, name) ? headers[name] : undefined;
    headers[name] = known === undefined ? value : `${known}, ${value}`;
  }
}
