/** google.longrunning.Operations (google/longrunning/operations.proto) over the status resource. */

import type { Contract } from '../../contract/contract.ts';
import {
  cancelOperationRequestType,
  findOwnService,
  getOperationRequestType,
  listOperationsRequestType,
  listOperationsResponseType,
  type OwnType,
  operationType,
  type SecondsAndNanos,
  waitOperationRequestType,
} from '../../contract/own-messages.ts';
import { ANONYMOUS, type Operation } from '../../operations/operation.ts';
import { Failure } from '../../runtime/failure.ts';
import type { OperationResource } from '../call.ts';
import { refuseUnknownCommand } from '../list-filter.ts';
import { Exchange, type ExchangeDeps, NOTHING_EXTRA, type RawCall, type Respond } from './exchange.ts';
import { parseFilter } from './operation-filter.ts';
import { operationMessage } from './operation-message.ts';
import { type OwnRegistration, registerOwn } from './own-service.ts';

export interface OperationsDeps extends ExchangeDeps {
  readonly operations: OperationResource;
  readonly contract: Contract;
  /** Aborts when the server drains: waits then answer with the newest state. */
  readonly draining: AbortSignal;
}

/** google.protobuf.Empty. */
const NOTHING = Buffer.alloc(0);

const SERVICE = 'google.longrunning.Operations';

type Serve = (exchange: Exchange, deps: OperationsDeps) => Promise<Buffer>;

const METHODS: Readonly<Record<string, Serve>> = {
  CancelOperation: cancelOperation,
  DeleteOperation: deleteOperation,
  GetOperation: getOperation,
  ListOperations: listOperations,
  WaitOperation: waitOperation,
};

export function registerOperations(deps: OperationsDeps): OwnRegistration {
  const handlers = Object.entries(METHODS).map(([method, serve]) => [
    method,
    (raw: RawCall, respond: Respond) =>
      void answer(new Exchange(`${SERVICE}/${method}`, raw, respond, deps), serve, deps),
  ]);
  return registerOwn(findOwnService(SERVICE), Object.fromEntries(handlers));
}

async function answer(exchange: Exchange, serve: Serve, deps: OperationsDeps): Promise<void> {
  try {
    exchange.checkLimits();
    exchange.succeed(await serve(exchange, deps), 'OK', NOTHING_EXTRA);
  } catch (error) {
    exchange.refuse(error, false);
  }
}

async function getOperation(exchange: Exchange, deps: OperationsDeps): Promise<Buffer> {
  const { name } = read(getOperationRequestType, exchange);
  return encode(await deps.operations.get(idOf(name), ANONYMOUS), deps);
}

async function waitOperation(exchange: Exchange, deps: OperationsDeps): Promise<Buffer> {
  const { name, timeout } = read(waitOperationRequestType, exchange);
  const id = idOf(name);
  const untilMs = deps.clock.monotonicMs() + timeoutMs(timeout, deps.options.maxOperationWaitMs);
  const operation = await deps.operations.wait(id, ANONYMOUS, {
    untilMs: Math.min(untilMs, exchange.waitUntilMs ?? Number.POSITIVE_INFINITY),
    signal: AbortSignal.any([exchange.signal, deps.draining]),
  });
  return encode(operation, deps);
}

/** Best effort, as AIP-151 has it: whether it was cancelled, or ended before that, GetOperation says. */
async function cancelOperation(exchange: Exchange, { operations }: OperationsDeps): Promise<Buffer> {
  const { name } = read(cancelOperationRequestType, exchange);
  await operations.cancel(idOf(name), ANONYMOUS);
  return NOTHING;
}

/** The history of what was promised is kept for its time, whoever asks. */
async function deleteOperation(): Promise<Buffer> {
  throw new Failure('ROUTE_NOT_FOUND', 'DeleteOperation is not served: operations are kept for their retention');
}

async function listOperations(exchange: Exchange, deps: OperationsDeps): Promise<Buffer> {
  const request = read(listOperationsRequestType, exchange);
  if (request.name !== '' && request.name !== 'operations') {
    throw invalid('name', 'expected "operations", the only collection there is');
  }
  if (request.pageSize < 0) throw invalid('page_size', 'expected a number that is not negative');
  const filter = parseFilter(request.filter);
  refuseUnknownCommand(filter.command, deps.contract.commands, (detail) => invalid('filter', `command ${detail}`));
  const page = await deps.operations.list(ANONYMOUS, {
    ...filter,
    pageSize: request.pageSize === 0 ? null : request.pageSize,
    pageToken: request.pageToken === '' ? null : request.pageToken,
  });
  return listOperationsResponseType.encode({
    operations: page.operations.map((operation) => toMessage(operation, deps)),
    nextPageToken: page.nextPageToken ?? '',
  });
}

function encode(operation: Operation, deps: OperationsDeps): Buffer {
  return operationType.encode(toMessage(operation, deps));
}

function toMessage(operation: Operation, { contract }: OperationsDeps) {
  return operationMessage(operation, contract.commands.get(operation.command) ?? null);
}

function read<Shape>(type: OwnType<Shape>, exchange: Exchange): Shape {
  try {
    return type.decode(exchange.requestBytes);
  } catch (cause) {
    throw new Failure('REQUEST_MALFORMED', `the request is no ${type.name}`, { cause });
  }
}

const PREFIX = 'operations/';

function idOf(name: string): string {
  if (name.startsWith(PREFIX)) return name.slice(PREFIX.length);
  throw invalid('name', 'expected operations/{id}');
}

function timeoutMs(timeout: SecondsAndNanos | undefined, maxMs: number): number {
  if (timeout === undefined) return maxMs;
  const wantedMs = Number(timeout.seconds) * 1000 + timeout.nanos / 1e6;
  if (wantedMs < 0) throw invalid('timeout', 'expected a duration that is not negative');
  return Math.min(wantedMs, maxMs);
}

function invalid(field: string, detail: string): Failure {
  return new Failure('REQUEST_INVALID', `${field}: ${detail}`, { violations: [{ detail, pointer: `#/${field}` }] });
}
