import type { WorkerError } from '../runtime/failure.ts';
import type { HeaderText, Progress } from './operation.ts';

/** `result` and `error` end a unary command, `end` and `error` one that emits items; the others are signs of life. */
export type ReplyKind = 'accepted' | 'progress' | 'item' | 'end' | 'result' | 'error';

/** Where a reply stands on the reply topic. Unique for each reply: what makes settling it twice harmless. */
export interface ReplyPosition {
  readonly topic: string;
  readonly partition: number;
  readonly offset: bigint;
}

/** What the correlation id says; see `correlation.ts`. */
export interface Correlation {
  readonly operationId: string;
  /** Partition of the reply topic that the dispatching instance had leased as its home. */
  readonly homePartition: number;
  /** Boot id of the dispatching instance for a call that had no row when it was sent, null for a recorded operation. */
  readonly unrecordedBy: string | null;
}

/** A record of the reply topic as it came: what a re-homed reply and a dead letter are made of. */
export interface RawReply {
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  /** In the record's order, equal names included. */
  readonly headers: readonly (readonly [name: string, value: Uint8Array])[];
}

/** A message from a worker, read from the wire and not yet decoded by the contract. */
export interface Reply {
  readonly raw: RawReply;
  /** Sluice has sent it to its home partition once already. */
  readonly isRehomed: boolean;
  readonly kind: ReplyKind;
  readonly correlation: Correlation;
  readonly position: ReplyPosition;
  /** The worker's bytes; null is an empty result. */
  readonly value: Uint8Array | null;
  readonly contentType: string | null;
  /** A 2xx for REST callers, else null. */
  readonly httpStatus: number | null;
  /** Response headers and trailers that the worker set; the policy's allow-list is applied when rendering. */
  readonly headers: HeaderText;
  readonly trailers: HeaderText;
  /** Of kind `error` only, else null. */
  readonly error: WorkerError | null;
  /** Of kind `progress` only, else null. */
  readonly progress: Progress | null;
  /** Place of an item in its handler's run (`sluice-run`, `sluice-seq`), where the worker gave one. */
  readonly sequence: { readonly run: string; readonly number: number } | null;
  /** The record's timestamp, Unix milliseconds. */
  readonly timestampMs: number;
}

/** A record on the reply topic that names an operation of ours but cannot be read, or names none. */
export interface UnreadableReply {
  readonly raw: RawReply;
  readonly isRehomed: boolean;
  readonly position: ReplyPosition;
  /** Null where not even the correlation id can be read. */
  readonly correlation: Correlation | null;
  readonly code: 'REPLY_INVALID' | 'RESULT_TOO_LARGE';
  readonly reason: string;
  readonly sizeBytes: number;
}

/** Whether the reply ends its command. */
export function endsCommand(kind: ReplyKind): boolean {
  return kind === 'result' || kind === 'error' || kind === 'end';
}
