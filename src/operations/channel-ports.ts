/** What operations ask of the channel: a command record and the publishing of it, and records of Sluice's own. */
import type { HeaderText } from './operation.ts';

/** Headers of a record in order; a name may stand twice (`kafka_replyPartition` in the dialect `both`). */
export type RecordHeaders = readonly (readonly [name: string, value: string | Uint8Array])[];

/** A finished command record: what is published, and what the operation row keeps as its outbox. */
export interface CommandRecord {
  readonly topic: string;
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly headers: RecordHeaders;
}

/** All that a command record is made of; `channel/envelope.ts` gives it the form of the wire. */
export interface CommandFields {
  readonly operationId: string;
  /** CloudEvents `type`: `orders.v1.Orders.CreateOrder`. */
  readonly type: string;
  readonly topic: string;
  /** Null: the operation id is the key. */
  readonly key: Uint8Array | null;
  readonly value: Uint8Array;
  readonly contentType: string;
  /** Null on one-way commands: no reply channel, so no correlation id either. */
  readonly reply: {
    readonly correlationId: string;
    readonly partition: number;
    readonly dialect: ReplyPartitionDialect;
  } | null;
  readonly createdAtMs: number;
  readonly deadlineMs: number;
  readonly attempt: number;
  /** Gateways that this call has crossed, this one included. */
  readonly hops: number;
  readonly traceparent: string | null;
  readonly tracestate: string | null;
  /** Empty for anonymous callers: the header is then left out. */
  readonly principal: string;
  /** Constants of the policy and caller headers that it lets through. */
  readonly extraHeaders: HeaderText;
}

export type ReplyPartitionDialect = 'both' | 'spring' | 'nest' | 'none';

export type SealCommand = (fields: CommandFields) => CommandRecord;

/** The record of a later attempt: the same but for what says which attempt it is and how long the worker has. */
export type ResealCommand = (
  record: CommandRecord,
  changes: { readonly attempt: number; readonly deadlineMs: number },
) => CommandRecord;

export interface PublishReceipt {
  readonly partition: number;
  readonly offset: bigint;
}

export type PublishProblem =
  | 'unreachable'
  | 'unknown_topic'
  | 'not_authorized'
  | 'too_large'
  | 'overloaded'
  | 'timed_out'
  | 'other';

/** Why a record was not acknowledged. */
export class PublishError extends Error {
  override readonly name = 'PublishError';
  readonly problem: PublishProblem;
  /** True only where no send can have reached a log (docs/decisions: what `not_sent` takes). */
  readonly certainlyNotSent: boolean;
  /** True where repeating cannot help: the record itself or its topic is refused. */
  readonly definite: boolean;

  constructor(
    problem: PublishProblem,
    message: string,
    options: { certainlyNotSent: boolean; definite: boolean; cause?: unknown },
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.problem = problem;
    this.certainlyNotSent = options.certainlyNotSent;
    this.definite = options.definite;
  }
}

export interface CommandPublisher {
  /** Throws `Failure` `REQUEST_TOO_LARGE` where the encoded record is over what its topic takes. Sends nothing. */
  assertFits(record: CommandRecord): void;
  /**
   * Resolves at the ack of all in-sync replicas; rejects with `PublishError`. Whole sends are repeated inside, at most
   * until `giveUpAtMs` (monotonic); a definite refusal is not repeated.
   */
  publish(record: CommandRecord, giveUpAtMs: number): Promise<PublishReceipt>;
}

/** A record that is no command, on a topic that Sluice owns: control, dead letters, lifecycle events, re-homed replies. */
export interface OwnRecord {
  readonly topic: string;
  /** Null: chosen by the key, as Kafka's Java client does. */
  readonly partition: number | null;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers: RecordHeaders;
}

export interface RecordSender {
  /** The same promises as `CommandPublisher.publish`. */
  send(record: OwnRecord, giveUpAtMs: number): Promise<PublishReceipt>;
}
