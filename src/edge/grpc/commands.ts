/** The methods of the contract as handlers of grpc-js. */

import type {
  MethodDefinition,
  ServerDuplexStream,
  ServerReadableStream,
  ServerWritableStream,
  ServiceDefinition,
  UntypedHandleCall,
  UntypedServiceImplementation,
} from '@grpc/grpc-js';
import type { Command } from '../../contract/command.ts';
import type { ContractService, ServiceMethod } from '../../contract/contract.ts';
import { Failure } from '../../runtime/failure.ts';
import type { Handle } from '../call.ts';
import { toCall } from './decode.ts';
import { Exchange, type ExchangeDeps, type RawCall, type Respond } from './exchange.ts';
import { renderAnswer } from './render.ts';

export interface CommandDeps extends ExchangeDeps {
  readonly handle: Handle;
}

export interface Registration {
  readonly definition: ServiceDefinition;
  readonly implementation: UntypedServiceImplementation;
}

export function registerCommands(service: ContractService, deps: CommandDeps): Registration {
  const definition: Record<string, MethodDefinition<Buffer, Buffer>> = {};
  const implementation: UntypedServiceImplementation = {};
  for (const method of service.methods) {
    const name = method.command.method;
    definition[name] = defineMethod(method.path, method);
    implementation[name] = handlerOf(method, deps);
  }
  return { definition, implementation };
}

/**
 * A method with its messages passed through as they are on the wire: what is no protobuf reaches our decoder, which
 * tells the caller so, instead of grpc-js, which would call it our fault (INTERNAL).
 */
export function defineMethod(
  path: string,
  streams: { readonly requestStream: boolean; readonly responseStream: boolean },
): MethodDefinition<Buffer, Buffer> {
  const { requestStream, responseStream } = streams;
  return {
    path,
    requestStream,
    responseStream,
    requestSerialize: passThrough,
    requestDeserialize: passThrough,
    responseSerialize: passThrough,
    responseDeserialize: passThrough,
  };
}

function passThrough(bytes: Buffer): Buffer {
  return bytes;
}

function handlerOf(method: ServiceMethod, deps: CommandDeps): UntypedHandleCall {
  const { command } = method;
  if (!method.requestStream && !method.responseStream) {
    return (raw: RawCall, respond: Respond) =>
      void serve(command, new Exchange(command.name, raw, respond, deps), deps);
  }
  if (!method.responseStream) {
    return (raw: ServerReadableStream<Buffer, Buffer>, respond: Respond) =>
      refuseStream(command, raw as unknown as RawCall, respond, deps);
  }
  return (raw: ServerWritableStream<Buffer, Buffer> | ServerDuplexStream<Buffer, Buffer>) =>
    refuseStream(command, raw as unknown as RawCall, (error) => raw.emit('error', error), deps);
}

async function serve(command: Command, exchange: Exchange, deps: CommandDeps): Promise<void> {
  try {
    const answer = await deps.handle(toCall(exchange, command));
    await renderAnswer(exchange, command, answer);
  } catch (error) {
    exchange.refuse(error, true);
  }
}

function refuseStream(command: Command, raw: RawCall, respond: Respond, deps: CommandDeps): void {
  const failure = new Failure(
    'STREAMING_UNSUPPORTED',
    `${command.name} is a streaming method; only unary ones are served`,
  );
  new Exchange(command.name, raw, respond, deps).refuse(failure, true);
}
