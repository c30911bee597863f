/**
 * grpc-js 1.14 keeps what a `grpc-timeout` says in 32 bits: one of 25 days or more wraps around, and such a call ends at
 * once or at some odd time. So far away a deadline is as good as none, so it is taken off before grpc-js reads it.
 */

import type { IncomingHttpHeaders } from 'node:http2';
import type { Server } from '@grpc/grpc-js';

const HEADER = 'grpc-timeout';
/** As grpc-js reads it. */
const TIMEOUT = /([0-9]{1,8})\s*([HMSmun])/;
const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000 };
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

interface HasStreams {
  prependListener(event: 'stream', listener: (stream: unknown, headers: IncomingHttpHeaders) => void): unknown;
}

/**
 * Call it once the server has its listeners. grpc-js gives no way to its HTTP/2 servers: where a later version keeps them
 * elsewhere nothing is done, and the test of it fails.
 */
export function forgetLongDeadlines(server: Server): void {
  const { http2Servers } = server as unknown as { http2Servers?: ReadonlyMap<HasStreams, unknown> };
  for (const http2Server of http2Servers?.keys?.() ?? []) {
    http2Server.prependListener('stream', (_stream, headers) => forgetLongDeadline(headers));
  }
}

function forgetLongDeadline(headers: IncomingHttpHeaders): void {
  const text = headers[HEADER];
  if (typeof text !== 'string') return;
  const [, digits = '0', unit = ''] = TIMEOUT.exec(text) ?? [];
  if (Number(digits) * (UNIT_MS[unit] ?? 0) > MAX_TIMEOUT_MS) delete headers[HEADER];
}
