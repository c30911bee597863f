import { eventOf } from '../operations/events.ts';
import { isTerminal, type OperationError } from '../operations/operation.ts';
import type { ClaimBounds, Outbox, OutboxRow } from '../operations/outbox/outbox-port.ts';
import type { OperationChange, OperationChanges } from '../operations/store-ports.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Queryable } from './database.ts';
import { type OperationRow, toOperation } from './operation-row.ts';
import { loadStatement } from './statements.ts';
import { type RecordRow, toRecord } from './stored-record.ts';

const CLAIM = loadStatement('claim-abandoned');
const LIST = loadStatement('list-claimed');
const LOAD = loadStatement('load-claimed');
const GIVE_BACK = loadStatement('give-back-claims');
const LIST_EARLIER = loadStatement('list-of-earlier-boots');
const TAKE_OVER = loadStatement('take-over-claims');

const RESTART_BATCH = 200;

const CARRIER_ENDED: OperationError = Object.freeze({
  code: 'CHANNEL_UNAVAILABLE',
  grpcCode: 'UNAVAILABLE',
  message: 'the process that carried the command has ended; whether a worker ran it is not known',
  details: null,
  delivery: 'unknown',
});

interface ClaimedRow extends RecordRow {
  readonly id: string;
  readonly command: string;
  readonly attempt: number;
  readonly deadline_ms: number;
  readonly ends_at_ack: boolean;
  readonly maybe_sent: boolean;
  readonly ordered: boolean;
}

interface EarlierRow extends OperationRow {
  readonly max_attempts: number;
  readonly is_sent: boolean;
}

/**
 * The operation rows as the outbox. A claim is committed before anybody publishes by it: two who publish the same record
 * must both have had it in turn, and then the second knows that it may have been sent.
 */
export class OutboxStore implements Outbox {
  readonly #database: Queryable;
  readonly #changes: OperationChanges;
  readonly #clock: Clock;

  constructor(database: Queryable, changes: OperationChanges, clock: Clock) {
    this.#database = database;
    this.#changes = changes;
    this.#clock = clock;
  }

  async claimAbandoned(
    bootId: string,
    { maxItems, maxBytes, ofTheDead, exceptTopics }: ClaimBounds,
  ): Promise<readonly OutboxRow[]> {
    const rows = await this.#database.query<ClaimedRow>(CLAIM, [bootId, maxItems, maxBytes, ofTheDead, exceptTopics]);
    return rows.map(toOutboxRow);
  }

  async listClaimed(
    bootId: string,
    { minAgeMs, limit }: { readonly minAgeMs: number; readonly limit: number },
  ): Promise<readonly string[]> {
    const rows = await this.#database.query<{ id: string }>(LIST, [bootId, minAgeMs, limit]);
    return rows.map(({ id }) => id);
  }

  async loadClaimed(bootId: string, operationIds: readonly string[]): Promise<readonly OutboxRow[]> {
    if (operationIds.length === 0) return [];
    const rows = await this.#database.query<ClaimedRow>(LOAD, [bootId, operationIds]);
    return rows.map(toOutboxRow);
  }

  async giveBack(
    bootId: string,
    rows: readonly { readonly operationId: string; readonly maybeSent: boolean }[],
  ): Promise<void> {
    if (rows.length === 0) return;
    const ids = rows.map(({ operationId }) => operationId);
    await this.#database.query(GIVE_BACK, [bootId, ids, rows.map(({ maybeSent }) => maybeSent)]);
  }

  async restart(bootId: string): Promise<{ readonly redriven: number; readonly failed: number }> {
    const count = { redriven: 0, failed: 0 };
    for (let afterId: string | null = null; ; ) {
      const rows: EarlierRow[] = await this.#database.query<EarlierRow>(LIST_EARLIER, [bootId, afterId, RESTART_BATCH]);
      const last = rows.at(-1);
      if (!last) return count;
      await this.#restart(rows, bootId, count);
      afterId = last.id;
    }
  }

  async #restart(
    rows: readonly EarlierRow[],
    bootId: string,
    count: { redriven: number; failed: number },
  ): Promise<void> {
    const sent = rows.filter(({ is_sent }) => is_sent);
    const { operations } = await this.#changes.commit(
      sent.map((row) => this.#nextAttemptOrEnd(row, bootId)),
      null,
    );
    for (const operation of operations) count[isTerminal(operation.state) ? 'failed' : 'redriven'] += 1;
    const unsent = rows.filter(({ is_sent }) => !is_sent).map(({ id }) => id);
    if (unsent.length > 0) await this.#database.query(TAKE_OVER, [bootId, unsent]);
  }

  #nextAttemptOrEnd(row: EarlierRow, bootId: string): OperationChange {
    const { id, attempt } = toOperation(row);
    const nowMs = this.#clock.wallMs();
    const event =
      attempt < row.max_attempts
        ? eventOf('redriven', nowMs, { by: bootId, afterAttempt: attempt })
        : eventOf('failed', nowMs, { error: CARRIER_ENDED });
    return { operationId: id, events: [event] };
  }
}

function toOutboxRow(row: ClaimedRow): OutboxRow {
  return {
    operationId: row.id,
    command: row.command,
    record: toRecord(row),
    attempt: row.attempt,
    deadlineMs: row.deadline_ms,
    endsAtAck: row.ends_at_ack,
    maybeSent: row.maybe_sent,
    ordered: row.ordered,
  };
}
