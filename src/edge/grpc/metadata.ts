/** Metadata in and out: what a caller may send, and what of a worker's headers can be sent at all. */

import type { Metadata } from '@grpc/grpc-js';
import type { HeaderText } from '../../operations/operation.ts';
import { Failure } from '../../runtime/failure.ts';
import type { GrpcOptions } from './options.ts';

type Limits = Pick<GrpcOptions, 'maxMetadataBytes' | 'maxMetadataEntries'>;

/** Request metadata by lower-case name. HTTP/2 has joined repeated names already; binary entries are not for us. */
export type Entries = Readonly<Record<string, string | Buffer>>;

/** @throws Failure HEADERS_TOO_LARGE */
export function checkLimits(entries: Entries, limits: Limits): void {
  let count = 0;
  let sizeBytes = 0;
  for (const name in entries) {
    count += 1;
    sizeBytes += name.length + (entries[name]?.length ?? 0);
  }
  if (count > limits.maxMetadataEntries) {
    throw new Failure('HEADERS_TOO_LARGE', `there are ${count} metadata entries, at most ${limits.maxMetadataEntries}`);
  }
  if (sizeBytes > limits.maxMetadataBytes) {
    throw new Failure('HEADERS_TOO_LARGE', `the metadata has ${sizeBytes} bytes, at most ${limits.maxMetadataBytes}`);
  }
}

/** The text of an entry; null where there is none or it is binary. */
export function readText(entries: Entries, name: string): string | null {
  const value = entries[name];
  return typeof value === 'string' ? value : null;
}

const NAME = /^[0-9a-z_.-]+$/;
const VALUE = /^[ -~]*$/;
/** Names that HTTP/2 or gRPC gives a meaning: a worker that set one would break the response. */
const RESERVED = new Set([
  'connection',
  'content-encoding',
  'content-length',
  'content-type',
  'host',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);
/** Clients refuse a response with more: Java's takes 8 KiB, ours and the status stand beside it. */
const MAX_REPLY_BYTES = 4096;

/**
 * Sets what can be sent: printable ASCII under names that are free. Of a repeated name the last one stands. What is
 * left is dropped: an answer that is here is not lost for a header.
 */
export function setReplyHeaders(metadata: Metadata, headers: HeaderText): void {
  let sizeBytes = 0;
  for (const [rawName, value] of headers) {
    const name = rawName.toLowerCase();
    if (!isSendable(name, value)) continue;
    sizeBytes += name.length + value.length;
    if (sizeBytes > MAX_REPLY_BYTES) return;
    metadata.set(name, value);
  }
}

function isSendable(name: string, value: string): boolean {
  if (!NAME.test(name) || name.startsWith('grpc-') || name.endsWith('-bin')) return false;
  return !RESERVED.has(name) && VALUE.test(value);
}

export function operationName(operationId: string): string {
  return `operations/${operationId}`;
}

/** Under which an answer names the operation that goes on. */
export const OPERATION_KEY = 'sluice-operation';
