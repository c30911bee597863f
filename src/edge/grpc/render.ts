/** Answers of the core as gRPC responses. */

import type { Command, ContractMessage } from '../../contract/command.ts';
import { operationType, packEmpty } from '../../contract/own-messages.ts';
import { Failure } from '../../runtime/failure.ts';
import type { Answer } from '../call.ts';
import type { Exchange } from './exchange.ts';
import { operationName } from './metadata.ts';
import { answeredOperation, operationMessage, packReply } from './operation-message.ts';

/** A message without fields has no bytes. */
const EMPTY = Buffer.alloc(0);

/** @throws Failure where the answer is none for this caller: WAIT_EXPIRED, REPLY_INVALID, RESULT_TOO_LARGE. */
export async function renderAnswer(exchange: Exchange, command: Command, answer: Answer): Promise<void> {
  switch (answer.kind) {
    case 'messages':
      return renderMessage(exchange, command, answer, await takeOnly(answer.messages));
    case 'operation':
      return renderOperation(exchange, command, answer);
    case 'noted':
      return renderNoted(exchange, command, answer);
  }
}

type Messages = Answer & { readonly kind: 'messages' };

function renderMessage(exchange: Exchange, command: Command, answer: Messages, message: ContractMessage): void {
  const bytes = command.returnsOperation
    ? operationType.encode(answeredOperation(answer.operationId, packReply(command, message)))
    : command.codec.replyToBinary(message);
  exchange.succeed(bytes, 'OK', answer);
}

/** Recorded and not done: the operation itself where the method returns one, else a deadline that names it. One way: OK. */
function renderOperation(exchange: Exchange, command: Command, answer: Answer & { readonly kind: 'operation' }): void {
  const { operation } = answer;
  if (command.returnsOperation) {
    const bytes = operationType.encode(operationMessage(operation, command));
    exchange.succeed(bytes, 'ACCEPTED', { headers: [], trailers: [], operationId: operation.id });
    return;
  }
  if (command.policy.style === 'NOTIFY') {
    // No reply is waited for, so nothing came too late.
    exchange.succeed(EMPTY, 'ACCEPTED', { headers: [], trailers: [], operationId: operation.id });
    return;
  }
  const detail = `no answer in time; ${operationName(operation.id)} goes on: ask google.longrunning.Operations/WaitOperation`;
  throw new Failure('WAIT_EXPIRED', detail, { delivery: 'unknown', operationId: operation.id });
}

/** A one-way command has no operation: its id names the command record, nothing that can be asked for. */
function renderNoted(exchange: Exchange, command: Command, answer: Answer & { readonly kind: 'noted' }): void {
  const bytes = command.returnsOperation
    ? operationType.encode(answeredOperation(answer.operationId, packEmpty()))
    : EMPTY;
  exchange.succeed(bytes, 'NOTED');
}

async function takeOnly(messages: AsyncIterable<ContractMessage>): Promise<ContractMessage> {
  for await (const message of messages) return message;
  throw new Failure('REPLY_INVALID', 'the worker answered without a result', { delivery: 'unknown' });
}
