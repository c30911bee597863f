/** Methods that nobody serves, refused with details as every other refusal, where grpc-js says a bare UNIMPLEMENTED. */

import type { Server, ServerDuplexStream } from '@grpc/grpc-js';
import { Failure } from '../../runtime/failure.ts';
import { Exchange, type ExchangeDeps, type RawCall } from './exchange.ts';

interface FoundHandler {
  readonly path: string;
  readonly type: 'bidi';
  readonly func: (call: ServerDuplexStream<Buffer, Buffer>) => void;
  readonly serialize: (value: Buffer) => Buffer;
  readonly deserialize: (bytes: Buffer) => Buffer;
}

/** What grpc-js asks for the handler of a call; it has no public place for one that takes every method. */
interface FindsHandlers {
  _retrieveHandler?: (path: string) => unknown;
}

/** Label of log and metrics: a name that the caller made up is from no closed set. */
const NAME = 'none';

/** Where grpc-js has no such method any more, its own answer stands; a test would tell. */
export function refuseUnknownMethods(server: Server, deps: ExchangeDeps): void {
  const finder = server as unknown as FindsHandlers;
  const find = finder._retrieveHandler;
  if (typeof find !== 'function') return;
  finder._retrieveHandler = (path) => find.call(server, path) ?? refusalOf(path, deps);
}

/** Of any kind of method: a bidirectional handler need not read what comes. */
function refusalOf(path: string, deps: ExchangeDeps): FoundHandler {
  return {
    path: `/${NAME}`,
    type: 'bidi',
    serialize: passThrough,
    deserialize: passThrough,
    func: (call) => {
      const failure = new Failure('ROUTE_NOT_FOUND', `no method ${path.slice(0, 200)} is served`);
      new Exchange(NAME, call as unknown as RawCall, (error) => call.emit('error', error), deps).refuse(failure, true);
    },
  };
}

function passThrough(bytes: Buffer): Buffer {
  return bytes;
}
