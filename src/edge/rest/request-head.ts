/** What a request's first lines may be. Held against Node's own objects, before anything is made of them. */

import type { IncomingMessage } from 'node:http';
import { Failure } from '../../runtime/failure.ts';

export interface HeadLimits {
  readonly maxUrlBytes: number;
  /** Names and values together. */
  readonly maxHeaderBytes: number;
  readonly maxHeaderCount: number;
}

/** RFC 9112 section 3.2 wants targets in visible ASCII; a `#` never travels. */
const BAD_TARGET = /[^\x21-\x7e]|[#\\]/;
const ABSOLUTE_FORM = /^https?:\/\/[^/?]*/i;
const HOST = /^(?:[a-z0-9._~%!$&'()*+,;=-]*|\[[0-9a-f:.]+\])(?::[0-9]{0,5})?$/i;

/**
 * Leaves `incoming.url` in origin form (`/path?query`), or as `*`.
 * @throws Failure URI_TOO_LONG, HEADERS_TOO_LARGE, REQUEST_MALFORMED, HEADER_INVALID
 */
export function checkHead(incoming: IncomingMessage, limits: HeadLimits): void {
  // Node's parser takes a request line without a version as HTTP/0.9, and a 2.0 in the framing of 1.1.
  if (incoming.httpVersionMajor !== 1) throw new Failure('REQUEST_MALFORMED', 'the request is not HTTP/1.1');
  checkTarget(incoming, limits.maxUrlBytes);
  checkFields(incoming.rawHeaders, limits);
  checkHost(incoming);
}

function checkTarget(incoming: IncomingMessage, maxUrlBytes: number): void {
  const target = incoming.url ?? '';
  if (target.length > maxUrlBytes) throw urlTooLong(maxUrlBytes);
  if (BAD_TARGET.test(target))
    throw new Failure('REQUEST_MALFORMED', 'the request target is not percent-encoded ASCII');
  if (target.startsWith('/') || (target === '*' && incoming.method === 'OPTIONS')) return;
  if (!ABSOLUTE_FORM.test(target)) throw new Failure('REQUEST_MALFORMED', 'the request target is no path');
  // A server must take the absolute form (RFC 9112 section 3.2.2); whose name it has does not matter to us.
  const path = target.replace(ABSOLUTE_FORM, '');
  incoming.url = path.startsWith('/') ? path : `/${path}`;
}

function checkFields(rawHeaders: readonly string[], limits: HeadLimits): void {
  if (rawHeaders.length > limits.maxHeaderCount * 2) {
    throw headersTooLarge(`there are more than ${limits.maxHeaderCount} header fields`);
  }
  let sizeBytes = 0;
  for (const text of rawHeaders) sizeBytes += text.length;
  if (sizeBytes > limits.maxHeaderBytes) {
    throw headersTooLarge(`the header fields are over the limit of ${limits.maxHeaderBytes} bytes`);
  }
}

/**
 * Held, though no link is ever made from it: RFC 9112 section 3.2 asks for a 400, also where there are two. Node keeps the
 * first, and a proxy before us may have gone by the other.
 */
function checkHost(incoming: IncomingMessage): void {
  const { host } = incoming.headers;
  const isOne = host === undefined ? incoming.httpVersion === '1.0' : HOST.test(host);
  if (isOne && !hasTwoHosts(incoming.rawHeaders)) return;
  throw new Failure('HEADER_INVALID', 'the Host header cannot be read', {
    violations: [{ header: 'host', detail: 'expected one host, with or without a port' }],
  });
}

function hasTwoHosts(rawHeaders: readonly string[]): boolean {
  let count = 0;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? '';
    if (name.length === 4 && name.toLowerCase() === 'host') count += 1;
  }
  return count > 1;
}

export function urlTooLong(maxUrlBytes: number): Failure {
  return new Failure('URI_TOO_LONG', `the request target is over the limit of ${maxUrlBytes} bytes`);
}

export function headersTooLarge(detail: string): Failure {
  return new Failure('HEADERS_TOO_LARGE', detail);
}
