import { type Clock, delay, systemClock } from './clock.ts';
import {
  type CommandKey,
  type DeduplicationStore,
  type Outcome,
  type RunLimits,
  RunningCommands,
  type Work,
} from './deduplication.ts';
import { CommandError } from './errors.ts';
import { jsonLogger, type Logger } from './log.ts';
import {
  type PostgresBounds,
  type PostgresClient,
  type PostgresPool,
  PostgresSession,
  surviveNewConnections,
} from './postgres-client.ts';
import {
  IN_FAILED_TRANSACTION,
  isTransient,
  LOCK_NOT_AVAILABLE,
  leavesCommitUnclear,
  sqlStateOf,
} from './postgres-errors.ts';
import { PostgresMarks } from './postgres-marks.ts';
import { openTransaction, type PostgresTransaction } from './postgres-transaction.ts';
import { errorReply, type Reply } from './reply.ts';

export interface PostgresDeduplicationOptions<Client extends PostgresClient = PostgresClient> {
  /** A `pg.Pool`, say. Closed by whoever made it, after the workers. Each running command holds one connection. */
  readonly pool: PostgresPool<Client>;
  /** `table` or `schema.table`; the schema must be there. Default `sluice_command_marks`. */
  readonly table?: string;
  /** How long marks are kept. Must be longer than the command topic's retention and the longest timeout. Default 8 days. */
  readonly retentionMs?: number;
  /** How long a command waits for a connection before it says so and asks again. Default 30,000. */
  readonly connectTimeoutMs?: number;
  /** How long a statement of the store may take; the handler's own are its own affair. Default 15,000. */
  readonly statementTimeoutMs?: number;
  /** How long a duplicate holds a connection while it waits for another process; then it asks again. Default 5,000. */
  readonly lockWaitMs?: number;
  /** How long `ensure` repeats itself to a database that is not up yet. Default 120,000. */
  readonly startTimeoutMs?: number;
  readonly logger?: Logger;
  readonly clock?: Clock;
}

const DAY_MS = 86_400_000;
const FIRST_BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 2_000;
/** One small delete of at most so many marks, after so many new ones: the table cannot outgrow its retention. */
const PURGE_BATCH = 500;
const PURGE_EVERY = 250;
const PURGE_INTERVAL_MS = 60_000;

/** Deadlocks and failed serializations of one command, after which its failure stands. */
const MAX_CONTESTS = 5;

interface Attempt<Client extends PostgresClient> {
  readonly key: CommandKey;
  readonly limits: RunLimits;
  work: Work<PostgresTransaction<Client>>;
  /** A commit was asked for and not answered. */
  isCommitUnclear: boolean;
  contestsLeft: number;
}

/** What the work threw: no trouble of the database's. */
class WorkRejected extends Error {}
/** The database refused to commit what the handler did, and would again. */
class EffectRefused extends Error {}

/**
 * Marks in PostgreSQL. The effect of the handler, made with `context.transaction`, the mark and the stored reply are one
 * transaction, so that after a crash either all of them are there, and a redelivery sends the reply again, or none, and
 * it runs the command.
 *
 * An error reply undoes the effect by a savepoint and is stored under the same claim: nobody can run the command in
 * between. When a connection is lost before the commit was asked for, nothing stands and the command runs again; when it
 * is lost during the commit, the mark itself tells which of the two.
 */
export class PostgresDeduplication<Client extends PostgresClient = PostgresClient>
  implements DeduplicationStore<PostgresTransaction<Client>>
{
  readonly #pool: PostgresPool<Client>;
  readonly #marks: PostgresMarks;
  readonly #bounds: PostgresBounds;
  readonly #retentionMs: number;
  readonly #startTimeoutMs: number;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #running = new RunningCommands();
  #marksSincePurge = 0;
  #lastPurgeMs: number;
  #isPurging = false;

  /** @throws TypeError or RangeError that names the option */
  constructor(options: PostgresDeduplicationOptions<Client>) {
    const lockWaitMs = readMs('lockWaitMs', options.lockWaitMs ?? 5_000);
    const statementTimeoutMs = readMs('statementTimeoutMs', options.statementTimeoutMs ?? 15_000);
    if (lockWaitMs >= statementTimeoutMs) throw new RangeError('lockWaitMs: expected less than statementTimeoutMs');
    this.#clock = options.clock ?? systemClock;
    this.#pool = options.pool;
    surviveNewConnections(options.pool);
    this.#marks = new PostgresMarks(options.table ?? 'sluice_command_marks', lockWaitMs);
    const connectTimeoutMs = readMs('connectTimeoutMs', options.connectTimeoutMs ?? 30_000);
    this.#bounds = { connectTimeoutMs, statementTimeoutMs, clock: this.#clock };
    this.#retentionMs = readMs('retentionMs', options.retentionMs ?? 8 * DAY_MS);
    this.#startTimeoutMs = readMs('startTimeoutMs', options.startTimeoutMs ?? 120_000);
    this.#logger = options.logger ?? jsonLogger({ store: 'postgres' });
    this.#lastPurgeMs = this.#clock.nowMs();
  }

  /** Makes the table where it is missing. @throws Error that names it, and what is wrong */
  async ensure(): Promise<void> {
    const endMs = this.#clock.nowMs() + this.#startTimeoutMs;
    for (let backoffMs = FIRST_BACKOFF_MS; ; backoffMs = Math.min(backoffMs * 2, MAX_BACKOFF_MS)) {
      try {
        return await this.#borrow((session) => this.#marks.ensure(session));
      } catch (error) {
        if (!isTransient(error) || this.#clock.nowMs() >= endMs) throw error;
        this.#logger.warn({ error, againInMs: backoffMs }, 'marks of commands: PostgreSQL is not up yet');
        await delay(this.#clock, backoffMs);
      }
    }
  }

  find(key: CommandKey): Promise<Reply | undefined> {
    return this.#borrow((session) => this.#marks.read(session, key));
  }

  runOnce(key: CommandKey, work: Work<PostgresTransaction<Client>>, limits: RunLimits): Promise<Outcome> {
    return this.#running.join(key, () => this.#repeat(key, work, limits));
  }

  /** Deletes up to 500 marks past their retention; returns how many. Done by itself while commands run. */
  purge(): Promise<number> {
    return this.#borrow((session) => this.#marks.purge(session, this.#retentionMs, PURGE_BATCH));
  }

  async #repeat(key: CommandKey, given: Work<PostgresTransaction<Client>>, limits: RunLimits): Promise<Outcome> {
    const attempt: Attempt<Client> = { key, work: given, limits, isCommitUnclear: false, contestsLeft: MAX_CONTESTS };
    for (let backoffMs = FIRST_BACKOFF_MS; ; backoffMs = Math.min(backoffMs * 2, MAX_BACKOFF_MS)) {
      try {
        const outcome = await this.#attempt(attempt);
        this.#purgeSometimes();
        return outcome;
      } catch (error) {
        if (error instanceof WorkRejected) throw error.cause;
        const ends = attempt.isCommitUnclear ? limits.stopped : limits.signal;
        if (error instanceof EffectRefused) attempt.work = () => Promise.resolve(failure());
        else if (ends.aborted || !(attempt.isCommitUnclear || isTransient(error))) throw error;
        this.#reportTrouble(attempt, error);
        const isWaiting = sqlStateOf(error) === LOCK_NOT_AVAILABLE;
        await delay(this.#clock, isWaiting ? FIRST_BACKOFF_MS : backoffMs, ends);
      }
    }
  }

  async #attempt(attempt: Attempt<Client>): Promise<Outcome> {
    const { key, limits } = attempt;
    const session = await PostgresSession.open(this.#pool, this.#bounds);
    try {
      await this.#marks.begin(session);
      if (!(await this.#marks.claim(session, key))) return await this.#readStored(session, key);
      // Claimed: a commit that was unclear did not stand.
      attempt.isCommitUnclear = false;
      limits.signal.throwIfAborted();
      await this.#marks.protectMark(session);
      const reply = await this.#runWork(session, attempt);
      await this.#commit(session, attempt);
      return { reply, duplicate: false };
    } catch (error) {
      await session.rollBack();
      throw error;
    } finally {
      session.release();
    }
  }

  async #readStored(session: PostgresSession<Client>, key: CommandKey): Promise<Outcome> {
    const reply = await this.#marks.read(session, key);
    await session.rollBack();
    if (reply === undefined) throw new Error('the mark was purged while it was looked at');
    return { reply, duplicate: true };
  }

  /** The reply that is stored, not yet committed: the handler's, or that of its failure. */
  async #runWork(session: PostgresSession<Client>, attempt: Attempt<Client>): Promise<Reply> {
    const { transaction, close, contest } = openTransaction(session.client);
    const reply = await attempt
      .work(transaction)
      .catch((cause) => {
        throw new WorkRejected('the command was interrupted', { cause });
      })
      .finally(close);
    if (contest() !== undefined && isFailure(reply) && attempt.contestsLeft-- > 0) throw contest();
    if (reply.kind === 'error') await this.#marks.undoEffect(session);
    try {
      await this.#marks.write(session, attempt.key, reply);
      return reply;
    } catch (error) {
      if (sqlStateOf(error) !== IN_FAILED_TRANSACTION) throw error;
      const { group, id } = attempt.key;
      this.#logger.error({ group, operationId: id }, 'a statement of the handler failed and it answered as if not');
      await this.#marks.undoEffect(session);
      await this.#marks.write(session, attempt.key, failure());
      return failure();
    }
  }

  /** A deferred constraint is checked here; a contest is repeated, a refusal would come again. */
  async #commit(session: PostgresSession<Client>, attempt: Attempt<Client>): Promise<void> {
    try {
      await session.query('COMMIT');
    } catch (error) {
      attempt.isCommitUnclear = leavesCommitUnclear(error);
      if (attempt.isCommitUnclear || isTransient(error)) throw error;
      throw new EffectRefused((error as Error).message, { cause: error });
    }
  }

  async #borrow<Result>(use: (session: PostgresSession<Client>) => Promise<Result>): Promise<Result> {
    const session = await PostgresSession.open(this.#pool, this.#bounds);
    try {
      return await use(session);
    } finally {
      session.release();
    }
  }

  #reportTrouble({ key: { group, id }, isCommitUnclear }: Attempt<Client>, error: unknown): void {
    const fields = { group, operationId: id, error };
    if (sqlStateOf(error) === LOCK_NOT_AVAILABLE) this.#logger.debug(fields, 'another process runs this command');
    else if (error instanceof EffectRefused) this.#logger.error(fields, 'PostgreSQL refuses to commit the effect');
    else if (isCommitUnclear) this.#logger.warn(fields, 'whether the effect was committed is asked again');
    else this.#logger.warn(fields, 'PostgreSQL failed; nothing was committed, and the command begins again');
  }

  #purgeSometimes(): void {
    this.#marksSincePurge += 1;
    const isDue = this.#clock.nowMs() - this.#lastPurgeMs >= PURGE_INTERVAL_MS;
    if (this.#isPurging || (!isDue && this.#marksSincePurge < PURGE_EVERY)) return;
    this.#isPurging = true;
    this.#marksSincePurge = 0;
    this.#lastPurgeMs = this.#clock.nowMs();
    this.purge()
      .catch((error) => this.#logger.warn({ error }, 'old marks of commands not purged; it is tried again'))
      .finally(() => {
        this.#isPurging = false;
      });
  }
}

/** The handler threw what is no CommandError. */
function isFailure(reply: Reply): boolean {
  return reply.headers.some(([name, value]) => name === 'sluice-code' && value === 'INTERNAL');
}

function failure(): Reply {
  return errorReply(new CommandError('INTERNAL', 'the worker failed'));
}

function readMs(name: string, value: number): number {
  if (!Number.isSafeInteger(value) || value < 1)
    throw new RangeError(`${name}: expected whole milliseconds from 1, got ${value}`);
  return value;
}
