import type { ReplyPartitionDialect } from './channel-ports.ts';
import type { HeaderText, Operation, Principal } from './operation.ts';
import type { Reply } from './reply.ts';
import type { IdempotencyKey } from './store-ports.ts';

/** What operations need to know of a command. The contract's `Command` fits it. */
export interface CommandTerms {
  readonly name: string;
  readonly type: string;
  readonly policy: {
    readonly topic: string;
    readonly waitMs: number;
    readonly maxWaitMs: number;
    readonly timeoutMs: number;
    readonly onTimeout: 'ACCEPT' | 'FAIL';
    readonly record: 'AUTO' | 'ALWAYS';
    readonly style: 'REPLY' | 'NOTIFY';
    readonly replyPartition: ReplyPartitionDialect;
    /** 1 where the command is not idempotent. */
    readonly maxAttempts: number;
    /** Null: silence is no reason for another attempt. */
    readonly redeliverAfterMs: number | null;
    readonly workerGroup: string | null;
    readonly ordered: boolean;
  };
}

/**
 * How long the caller wants to wait. `default`: as the command says. `for`: `Prefer: wait=N`, at most the command's
 * `max_wait`. `none`: `respond-async`. `until`: a gRPC deadline, monotonic ms, margin already taken off; null where the
 * client set none: the command's `timeout`.
 */
export type WaitPreference =
  | { readonly kind: 'default' }
  | { readonly kind: 'for'; readonly waitMs: number }
  | { readonly kind: 'none' }
  | { readonly kind: 'until'; readonly atMs: number | null };

/** One call of a command, decoded and validated, on its way to the channel. */
export interface Invocation {
  readonly command: CommandTerms;
  readonly principal: Principal;
  readonly wait: WaitPreference;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array;
  readonly contentType: string;
  readonly hops: number;
  readonly traceparent: string | null;
  readonly tracestate: string | null;
  readonly extraHeaders: HeaderText;
  /** Null where the caller gave no Idempotency-Key. */
  readonly idempotency: IdempotencyKey | null;
  /** Aborts when the caller goes away. */
  readonly signal: AbortSignal;
  /** Told once there is a row, before any answer: gRPC sends the operation's name as initial metadata. */
  readonly onRecorded?: (operation: Operation) => void;
}

/**
 * How an invocation ended for its caller. `replies`: a worker answered; a unary command gives exactly one, of kind
 * `result` (errors are thrown as `Failure` `COMMAND_FAILED`). `settled`: the same for a recorded operation, from its row.
 * `pending`: recorded and not done: 202. `noted`: a one-way command that the broker has.
 */
export type Outcome =
  | { readonly kind: 'replies'; readonly operationId: string; readonly replies: AsyncIterable<Reply> }
  | { readonly kind: 'settled'; readonly operation: Operation }
  | { readonly kind: 'pending'; readonly operation: Operation }
  | { readonly kind: 'noted'; readonly operationId: string };
