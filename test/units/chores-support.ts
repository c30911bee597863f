/** The ports of the chores in memory: rows under the real fold, a log of replies, a bus and a clock in the test's hands. */
import type { OwedDeadLetter, OwedEvent, SilentOperation } from '../../src/chores/ports.ts';
import type { CommandDispatcher } from '../../src/chores/uptake.ts';
import {
  type CommandRecord,
  type OwnRecord,
  PublishError,
  type PublishReceipt,
  type RecordSender,
} from '../../src/operations/channel-ports.ts';
import { createFold } from '../../src/operations/fold.ts';
import { isTerminal, type Operation } from '../../src/operations/operation.ts';
import type { ClaimBounds, Outbox, OutboxRow } from '../../src/operations/outbox/outbox-port.ts';
import {
  type ChangeOutcome,
  type OperationChange,
  type OperationChanges,
  type RecordedEvent,
  StoreError,
} from '../../src/operations/store-ports.ts';
import { Failure } from '../../src/runtime/failure.ts';
import type { BoundCounter } from '../../src/runtime/metrics.ts';
import { anOperation } from '../support/operations.ts';

export interface Row {
  operation: Operation;
  record: CommandRecord;
  published: PublishReceipt | null;
  claimedBy: string | null;
  maybeSent: boolean;
  ordered: boolean;
  maxAttempts: number;
  redeliverAfterMs: number | null;
  workerGroup: string | null;
  lastSignMs: number;
  lateEvents: number;
  history: RecordedEvent[];
}

const encoder = new TextEncoder();
const fold = createFold({ retentionMs: 60_000, checkResult: () => null });

export const storeAway = new StoreError('away', { certainlyNotWritten: true });
export const busAway = new PublishError('unreachable', 'away', { certainlyNotSent: true, definite: false });
export const refused = new PublishError('too_large', 'no', { certainlyNotSent: true, definite: true });

/** What counts nothing. */
export const uncounted: BoundCounter = { add: () => undefined };
/** A run that nobody ends. */
export const forever = new AbortController().signal;

/** Lets everything go on that waits for no clock. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 10; turn += 1) await new Promise(setImmediate);
}

/** The operation rows, and what the database says is due. `nowMs` is its clock. */
export class FakeRows implements OperationChanges, Outbox {
  databaseMs = 1_000_000;
  readonly rows = new Map<string, Row>();
  readonly alive = new Set(['me']);
  /** `next_offset` of each partition's lease row. */
  readonly positions = new Map<number, bigint>([[0, 0n]]);
  /** Takes effect once: the next commit is written, and its answer is lost. */
  losesNextAnswer = false;
  commits = 0;
  readonly givenBack: { operationId: string; maybeSent: boolean }[] = [];

  add(parts: Partial<Row> & { readonly topic?: string; readonly key?: string } = {}): string {
    const operation = parts.operation ?? anOperation({ deadlineMs: this.databaseMs + 60_000 });
    const { topic = 'orders', key = operation.id, ...rest } = parts;
    const record = { topic, key: encoder.encode(key), value: encoder.encode('{}'), headers: [] };
    const defaults = { published: null, claimedBy: null, maybeSent: false, ordered: false, maxAttempts: 1 };
    const silence = { redeliverAfterMs: null, workerGroup: null, lastSignMs: this.databaseMs };
    const given = { ...defaults, ...silence, record, lateEvents: 0, history: [], ...rest, operation };
    this.rows.set(operation.id, given);
    return operation.id;
  }

  get(id: string): Row {
    return this.rows.get(id) as Row;
  }

  state(id: string): string {
    return this.get(id).operation.state;
  }

  async commit(changes: readonly OperationChange[]): Promise<ChangeOutcome> {
    this.commits += 1;
    const operations = changes.map((change) => this.#apply(change));
    if (this.losesNextAnswer) {
      this.losesNextAnswer = false;
      throw new StoreError('connection lost in mid-commit', { certainlyNotWritten: false });
    }
    return { operations, missing: [] };
  }

  #apply({ operationId, events }: OperationChange): Operation {
    const row = this.get(operationId);
    const { operation, appended, lateEvents, publication } = fold(row.operation, events, row);
    if (publication?.kind === 'set') row.published = publication.receipt;
    if (publication?.kind === 'cleared') Object.assign(row, { published: null, claimedBy: publication.claimedBy });
    Object.assign(row, { operation, lateEvents });
    row.history.push(...appended);
    return operation;
  }

  nowMs = async () => this.databaseMs;
  readPositions = async (): Promise<ReadonlyMap<number, bigint>> => new Map(this.positions);

  listExpirable = async (untilMs: number, limit: number) =>
    this.#open((row) => row.operation.deadlineMs <= untilMs && !isUnsendable(row), limit).map((row) => row.operation);

  listUnsendable = async (limit: number) =>
    this.#open((row) => row.operation.deadlineMs <= this.databaseMs && isUnsendable(row), limit).map(
      (row) => row.operation,
    );

  listSilent = async (untilMs: number, limit: number, afterId: string | null): Promise<readonly SilentOperation[]> =>
    this.#open((row) => isSilent(row, untilMs) && row.operation.id > (afterId ?? ''), limit).map((row) => ({
      operationId: row.operation.id,
      topic: row.record.topic,
      attempt: row.operation.attempt,
      workerGroup: row.workerGroup,
      publishedPartition: (row.published as PublishReceipt).partition,
      publishedOffset: (row.published as PublishReceipt).offset,
    }));

  async claimAbandoned(bootId: string, bounds: ClaimBounds): Promise<readonly OutboxRow[]> {
    const free = this.#open(
      (row) =>
        row.published === null &&
        !bounds.exceptTopics.includes(row.record.topic) &&
        (row.claimedBy === null || (bounds.ofTheDead && !this.alive.has(row.claimedBy))) &&
        this.#isFirstOfKey(row),
      bounds.maxItems,
    );
    for (const row of free)
      Object.assign(row, { maybeSent: row.maybeSent || row.claimedBy !== null, claimedBy: bootId });
    return free.map(outboxRowOf);
  }

  listClaimed = async (bootId: string, { limit }: { readonly limit: number }) =>
    this.#open((row) => row.published === null && row.claimedBy === bootId, limit).map(({ operation }) => operation.id);

  loadClaimed = async (bootId: string, ids: readonly string[]) =>
    this.#open(({ operation, published, claimedBy }) => {
      return published === null && claimedBy === bootId && ids.includes(operation.id);
    }, ids.length).map(outboxRowOf);

  async giveBack(_bootId: string, rows: readonly { operationId: string; maybeSent: boolean }[]): Promise<void> {
    for (const { operationId, maybeSent } of rows) {
      this.givenBack.push({ operationId, maybeSent });
      Object.assign(this.get(operationId), { claimedBy: null, maybeSent });
    }
  }

  restart = async () => ({ redriven: 0, failed: 0 });

  #isFirstOfKey(row: Row): boolean {
    const isEarlier = (other: Row) =>
      other.operation.id < row.operation.id && String(other.record.key) === String(row.record.key);
    return !row.ordered || this.#open((other) => other.published === null && isEarlier(other), 1).length === 0;
  }

  #open(matches: (row: Row) => boolean, limit: number): Row[] {
    const open = [...this.rows.values()].filter((row) => !isTerminal(row.operation.state) && matches(row));
    return open.sort((a, b) => (a.operation.id < b.operation.id ? -1 : 1)).slice(0, limit);
  }
}

function isUnsendable({ published, maybeSent, claimedBy }: Row): boolean {
  return published === null && !maybeSent && claimedBy === null;
}

function isSilent({ published, redeliverAfterMs, lastSignMs, operation, maxAttempts }: Row, untilMs: number): boolean {
  if (published === null || redeliverAfterMs === null || operation.attempt >= maxAttempts) return false;
  return lastSignMs + redeliverAfterMs <= untilMs && operation.deadlineMs > untilMs;
}

function outboxRowOf({ operation, record, maybeSent, ordered }: Row): OutboxRow {
  const { id, command, attempt, deadlineMs } = operation;
  return { operationId: id, command, record, attempt, deadlineMs, endsAtAck: false, maybeSent, ordered };
}

/** The reply topic: ends that grow, and whether it can be asked. */
export class FakeLog {
  readonly ends = new Map<number, bigint>([[0, 0n]]);
  isAway = false;

  append(partition = 0): void {
    this.ends.set(partition, (this.ends.get(partition) ?? 0n) + 1n);
  }

  partitions = async () => {
    if (this.isAway) throw new Error('Kafka is away');
    return [...this.ends.keys()];
  };

  bounds = async () => new Map([...this.ends].map(([partition, end]) => [partition, { start: 0n, end }]));
}

type Dispatched = Parameters<CommandDispatcher['dispatch']>[0];

/** Publishes when the test says so. */
export class FakeDispatcher implements CommandDispatcher {
  readonly work: Dispatched[] = [];
  maxItems = 100;
  readonly #held = new Map<string, () => void>();

  fullTopics: string[] = [];
  room = () => ({ items: this.maxItems - this.#held.size, bytes: 1_000_000, fullTopics: this.fullTopics });
  holds = (operationId: string) => this.#held.has(operationId);

  reserve(_record: CommandRecord, operationId: string): void {
    if (this.room().items <= 0) throw new Failure('OVERLOADED', 'full');
    this.#held.set(operationId, () => undefined);
  }

  dispatch(work: Dispatched): Promise<void> {
    this.work.push(work);
    return new Promise((resolve) => this.#held.set(work.operationId, resolve));
  }

  get sent(): string[] {
    return this.work.map(({ operationId }) => operationId);
  }

  /** The record is on the log and its row says so. */
  complete(rows: FakeRows, operationId: string, offset = 0n): void {
    rows.get(operationId).published = { partition: 0, offset };
    this.forget(operationId);
  }

  forget(operationId: string): void {
    const resolve = this.#held.get(operationId);
    this.#held.delete(operationId);
    resolve?.();
  }
}

/** Topics of ours: each send waits for the test unless `answer` says what becomes of it. */
export class FakeSender implements RecordSender {
  readonly sends: { record: OwnRecord; giveUpAtMs: number; ack: PromiseWithResolvers<PublishReceipt> }[] = [];
  answer: (record: OwnRecord) => PublishError | 'ack' | 'wait' = () => 'ack';

  send(record: OwnRecord, giveUpAtMs: number): Promise<PublishReceipt> {
    const ack = Promise.withResolvers<PublishReceipt>();
    this.sends.push({ record, giveUpAtMs, ack });
    const answer = this.answer(record);
    if (answer instanceof PublishError) ack.reject(answer);
    else if (answer === 'ack') ack.resolve({ partition: 0, offset: 0n });
    return ack.promise;
  }

  get keys(): string[] {
    return this.sends.map(({ record }) => new TextDecoder().decode(record.key ?? new Uint8Array()));
  }
}

/** Forms that say in the key what they were made of. */
export const forms = {
  deadLetter: ({ operation }: OwedDeadLetter) => ownRecord(operation.id, encoder.encode('{}')),
  withoutValue: (letter: OwnRecord) => ({ ...letter, value: null }),
  cancellation: (operationId: string) => ownRecord(operationId, null),
  lifecycleEvent: (event: OwedEvent) => ownRecord(`${event.operationId}.${event.number}`, null),
};

function ownRecord(key: string, value: Uint8Array | null): OwnRecord {
  return { topic: 'ours', partition: null, key: encoder.encode(key), value, headers: [] };
}
