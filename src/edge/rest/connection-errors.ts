/** Requests that Node's parser gives up on: no request object exists, the problem is written on the socket. */

import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { Clock } from '../../runtime/clock.ts';
import { Failure } from '../../runtime/failure.ts';
import { ALL_METHODS } from './command-routes.ts';
import type { RestAnswer } from './exchange.ts';
import { type HeadLimits, headersTooLarge, urlTooLong } from './request-head.ts';

interface ParserError extends Error {
  readonly code?: string;
  readonly reason?: string;
  readonly rawPacket?: Buffer;
}

/** Good but for its method, which Node's parser does not know. */
const REQUEST_LINE = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64} [!-~]+ HTTP\/1\.[01]\r?\n/;

/** Time for the other end to read the answer before the connection is cut. */
const LINGER_MS = 500;

export function failureOfParser(error: ParserError, limits: HeadLimits): Failure {
  switch (error.code) {
    case 'HPE_HEADER_OVERFLOW':
      return isLongTarget(error.rawPacket, limits.maxUrlBytes)
        ? urlTooLong(limits.maxUrlBytes)
        : headersTooLarge(
            `the header fields are over the limit of ${limits.maxHeaderBytes} bytes, or ${limits.maxHeaderCount} fields`,
          );
    case 'HPE_INVALID_METHOD':
      return REQUEST_LINE.test(error.rawPacket?.toString('latin1', 0, 4096) ?? '')
        ? new Failure('METHOD_NOT_ALLOWED', 'the method is not known', { allow: ALL_METHODS })
        : notHttp(error);
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return new Failure('REQUEST_TOO_LARGE', 'the chunk extensions are too long');
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new Failure('REQUEST_TIMEOUT', 'the request did not arrive in time');
    default:
      return notHttp(error);
  }
}

function notHttp({ reason = 'it cannot be parsed' }: ParserError): Failure {
  return new Failure('REQUEST_MALFORMED', `this is no HTTP request: ${reason}`);
}

/** Whether the packet is a request line alone, and already longer than one may be. */
function isLongTarget(packet: Buffer | undefined, maxUrlBytes: number): boolean {
  if (packet === undefined) return false;
  const lineEnd = packet.indexOf('\n');
  return (lineEnd < 0 ? packet.length : lineEnd) > maxUrlBytes && /^[A-Z]+ \S/.test(packet.toString('latin1', 0, 32));
}

/** @returns whether it could be written. What is still being sent is read and dropped, so that no reset overtakes the answer. */
export function writeOnSocket(socket: Socket, answer: RestAnswer, clock: Clock): boolean {
  if (!socket.writable || hasBegunToAnswer(socket)) {
    socket.destroy();
    return false;
  }
  const head = Object.entries({ ...answer.headers, connection: 'close' }).map(([name, value]) => `${name}: ${value}`);
  const lines = [`HTTP/1.1 ${answer.status} ${STATUS_CODES[answer.status] ?? ''}`, ...head, '', answer.body ?? ''];
  const cancel = clock.setTimer(() => socket.destroy(), LINGER_MS);
  socket.once('close', cancel);
  socket.on('error', () => socket.destroy());
  socket.end(lines.join('\r\n'));
  socket.resume();
  return true;
}

/** Node keeps the response that is being written here; its own handler looks at the same place. */
function hasBegunToAnswer(socket: Socket): boolean {
  const { _httpMessage: response } = socket as Socket & { _httpMessage?: { headersSent: boolean } | null };
  return response?.headersSent === true;
}
