/** Names may occur more than once; order is kept among equal names. */
export type HeaderList = readonly (readonly [name: string, value: Uint8Array])[];

export interface OutgoingRecord {
  readonly topic: string;
  /** Chosen by the key where undefined. */
  readonly partition?: number | undefined;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers: HeaderList;
}

export interface IncomingRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: bigint;
  readonly timestampMs: number;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers: HeaderList;
}

export interface TopicPartition {
  readonly topic: string;
  readonly partition: number;
}

/** `offset` is the next one to read: one past the last record that is done. */
export interface Position extends TopicPartition {
  readonly offset: bigint;
}

export interface SubscribeOptions {
  readonly topics: readonly string[];
  readonly group: string;
  /** Records of one partition come in offset order. Must not throw; what it is given is given again after a crash. */
  readonly onRecords: (records: readonly IncomingRecord[]) => void;
  /** Partitions that another member of the group may read from now on. Their positions must not be committed any more. */
  readonly onRevoked?: (partitions: readonly TopicPartition[]) => void;
}

export interface Subscription {
  /** Stops fetching from all partitions; what was fetched may still arrive. Membership of the group is kept. */
  pause(): void;
  resume(): void;
  /** Resolves when the group's positions are stored. Rejects where they are not; a later commit may then succeed. */
  commit(positions: readonly Position[]): Promise<void>;
  /** Leaves the group. Commits after this do nothing. */
  close(): Promise<void>;
}

export interface InboxOptions {
  readonly topic: string;
  /** Of this instance alone. */
  readonly group: string;
  readonly onRecords: (records: readonly IncomingRecord[]) => void;
}

/** Where replies to this instance's own commands arrive. What is sent after `openInbox` resolved arrives. */
export interface Inbox {
  readonly topic: string;
  /** The partition that is read; null where all are. */
  readonly partition: number | null;
  close(): Promise<void>;
}

export interface WatchOptions {
  readonly topic: string;
  /** Of the workers that watch; each of them gets every record. */
  readonly group: string;
  /** Records before this moment, Unix milliseconds, need not be shown. */
  readonly sinceMs: number;
  readonly onRecords: (records: readonly IncomingRecord[]) => void;
}

export interface TopicWatch {
  close(): Promise<void>;
}

/** The message bus as the worker needs it. `kafkaTransport` and `MemoryTransport` are two; an adapter is some 40 lines. */
export interface WorkerTransport {
  /** Makes sure that the topics exist, or rejects with an error that names those that do not. */
  ensureTopics?(topics: readonly string[]): Promise<void>;
  subscribe(options: SubscribeOptions): Promise<Subscription>;
  openInbox(options: InboxOptions): Promise<Inbox>;
  /**
   * Reads all partitions of a topic. Resolves when what was there already has been shown; null where there is no such
   * topic. Without this method cancellations do not reach the worker.
   */
  watchTopic?(options: WatchOptions): Promise<TopicWatch | null>;
  /**
   * Resolves when all records are acknowledged; records of one call to one partition keep their order, and so do calls.
   * Repeats what may succeed later for as long as the transport is open, so a rejection is final.
   * @throws SendError
   */
  send(records: readonly OutgoingRecord[]): Promise<void>;
  close(): Promise<void>;
}

/** Why a record will not be acknowledged, however often it is sent. */
export type SendErrorReason = 'unknown_topic' | 'not_authorized' | 'too_large' | 'full' | 'closed';

export class SendError extends Error {
  override readonly name = 'SendError';
  readonly reason: SendErrorReason;
  /** False when no broker can have stored the record. */
  readonly maybeSent: boolean;

  constructor(reason: SendErrorReason, message: string, options: { maybeSent: boolean; cause?: unknown }) {
    super(message, { cause: options.cause });
    this.reason = reason;
    this.maybeSent = options.maybeSent;
  }
}
