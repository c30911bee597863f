/** W3C Trace Context (https://www.w3.org/TR/trace-context/), as far as a gate needs it: read, pass on, or begin. */

import { randomFillSync } from 'node:crypto';

export interface Trace {
  /** Version 00: `00-<trace id>-<parent id>-<flags>`. */
  readonly traceparent: string;
  readonly tracestate: string | null;
}

/** The specification asks for 512 characters to be passed on at least; more is dropped, as it allows. */
const MAX_TRACESTATE_CHARACTERS = 512;
/** `version-traceid-parentid-flags` in lower-case hex; versions above 00 may have more behind. */
const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2})(-.*)?$/;
const VERSION_00_CHARACTERS = 55;

const TRACE_ID_BYTES = 16;
const PARENT_ID_BYTES = 8;
const pool = Buffer.alloc(4080);
let poolOffset = pool.length;

/**
 * The caller's trace where it sent a valid one, else a new one. Sluice reports no spans of its own yet, so the caller's
 * parent id is passed on as it came: a new one would cut the tree. Without a valid `traceparent` the `tracestate` is
 * dropped (section 3.3.1.4).
 */
export function readTrace(traceparent: string | null, tracestate: string | null): Trace {
  const read = traceparent === null ? null : parseTraceparent(traceparent);
  if (read === null) return { traceparent: makeTraceparent(), tracestate: null };
  const keepsState = tracestate !== null && tracestate !== '' && tracestate.length <= MAX_TRACESTATE_CHARACTERS;
  return { traceparent: read, tracestate: keepsState ? tracestate : null };
}

/** @returns the same as version 00; null where the text is no valid traceparent. */
function parseTraceparent(text: string): string | null {
  const match = TRACEPARENT.exec(text);
  if (!match) return null;
  const [, version, ids = '', more] = match;
  if (version === 'ff' || (version === '00' && more !== undefined)) return null;
  if (ids.startsWith('0'.repeat(32)) || ids.startsWith('0'.repeat(16), 33)) return null;
  return version === '00' ? text : `00-${ids}`.slice(0, VERSION_00_CHARACTERS);
}

/** A new trace, sampled. Random bytes come from a pool: one system call for many traces. */
function makeTraceparent(): string {
  if (poolOffset === pool.length) {
    randomFillSync(pool);
    poolOffset = 0;
  }
  const start = poolOffset;
  poolOffset += TRACE_ID_BYTES + PARENT_ID_BYTES;
  const traceId = pool.toString('hex', start, start + TRACE_ID_BYTES);
  return `00-${traceId}-${pool.toString('hex', start + TRACE_ID_BYTES, poolOffset)}-01`;
}
