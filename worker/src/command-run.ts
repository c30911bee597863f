import type { Clock } from './clock.ts';
import type { Codec } from './codec.ts';
import type { Command } from './command.ts';
import type { CommandKey, DeduplicationStore, Outcome } from './deduplication.ts';
import { CommandError } from './errors.ts';
import { callHandler, type Handler } from './handler-call.ts';
import type { Logger } from './log.ts';
import type { Ticket } from './offsets.ts';
import { addressReply, errorReply, type Reply } from './reply.ts';
import { SignsOfLife } from './signs-of-life.ts';
import { sendTerminal } from './terminal-reply.ts';
import type { OutgoingRecord } from './transport.ts';

/** What all commands of a worker share. */
export interface RunEnvironment {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly codec: Codec;
  /** With its namespace. */
  readonly group: string;
  readonly deduplication: DeduplicationStore<unknown>;
  readonly acceptedAfterMs: number;
  readonly abandonAfterMs: number;
  readonly exposeErrors: boolean;
  readonly send: (record: OutgoingRecord) => Promise<void>;
}

export interface RunOptions {
  readonly command: Command;
  readonly method: string;
  readonly handler: Handler<unknown, unknown, unknown>;
  /** Between signs of life; null: one is enough. */
  readonly signEveryMs: number | null;
  readonly ticket: Ticket;
  readonly environment: RunEnvironment;
  /** Called once: the command needs no more of this worker. */
  readonly onGone: () => void;
}

/** The worker stopped before the command was done: no reply, no mark, no offset; another member of the group runs it. */
class Interrupted extends Error {}

/**
 * One command from its arrival to its acknowledged reply.
 *
 * waiting → started → answered → gone. The deadline answers in any state before `answered`; the handler may then still
 * run, and keeps its lane until it ends, since the next command of its key must not run beside it, or until it is
 * abandoned. `gone` without an answer is a command that another member of the group will run, or one that was cancelled
 * before its turn.
 */
export class CommandRun {
  readonly #options: RunOptions;
  readonly #key: CommandKey;
  /** The handler's signal. */
  readonly #controller = new AbortController();
  readonly #stop = new AbortController();
  /** Ends the wait for the handler: with the reply of a missed deadline, or rejected by a stop. */
  readonly #cut = Promise.withResolvers<Reply>();
  /** Resolved once the lane is free although the handler has not ended. */
  readonly #abandoned = Promise.withResolvers<void>();
  readonly #receivedMs: number;
  #timers: (() => void)[] = [];
  #cancelAbandon: () => void = () => {};
  #handling: Promise<unknown> = Promise.resolve();
  #state: 'waiting' | 'started' | 'answered' | 'gone' = 'waiting';
  readonly #signs: SignsOfLife;
  #stopping = false;
  #cancelled = false;
  #handlerWasCalled = false;
  /** The handler has answered, and the store is making its answer last: what became of it is the store's to say. */
  #isSettling = false;

  constructor(options: RunOptions) {
    this.#options = options;
    const { group, clock, logger, acceptedAfterMs: firstAfterMs } = options.environment;
    this.#key = { group, id: options.command.id ?? nameRecord(options.command) };
    const repeatMs = options.signEveryMs;
    this.#signs = new SignsOfLife({ send: (reply) => this.#sendSign(reply), logger, clock, firstAfterMs, repeatMs });
    this.#receivedMs = options.environment.clock.nowMs();
    // Rejected while nobody awaits it, it would end the process.
    this.#cut.promise.catch(() => {});
    this.#arm();
  }

  get started(): boolean {
    return this.#state !== 'waiting';
  }

  get operationId(): string | null {
    return this.#options.command.id;
  }

  /** False once another member of the group owns the command's partition. */
  get isHeld(): boolean {
    return this.#options.ticket.isHeld();
  }

  /** Runs the handler; resolves when the next command of this lane may run. Never rejects. */
  async takeTurn(): Promise<void> {
    if (this.#state !== 'waiting') return;
    if (!this.isHeld) return this.drop();
    if (this.#isExpired()) return this.#onDeadline();
    this.#state = 'started';
    try {
      const { reply, duplicate } = await Promise.race([this.#runOnce(), this.#missedDeadline()]);
      void this.#answer(reply, duplicate);
    } catch (error) {
      this.#onNoReply(error);
    }
    await Promise.race([this.#handling, this.#abandoned.promise]);
  }

  #onNoReply(error: unknown): void {
    if (error instanceof Interrupted || this.#stopping) this.drop();
    else if (this.#cancelled && !this.#handlerWasCalled) this.#skip();
    else if (this.#isExpired()) void this.#answer(this.#late(), false);
    else if (this.#cancelled) void this.#answer(errorReply(this.#controller.signal.reason), false);
    else this.#onStoreFailure(error);
  }

  #onStoreFailure(error: unknown): void {
    this.#options.environment.logger.error({ error, operationId: this.#options.command.id }, 'de-duplication failed');
    void this.#answer(errorReply(new CommandError('UNAVAILABLE', 'the worker cannot run commands now')), false);
  }

  /** Leaves the command to another member of the group, unanswered. */
  drop(): void {
    if (this.#state === 'answered' || this.#state === 'gone') return;
    this.#leave();
  }

  /** Nobody wants the answer: what waits is passed over, what runs is told by its signal and may still answer. */
  cancel(): void {
    if (this.#state === 'answered' || this.#state === 'gone') return;
    this.#cancelled = true;
    if (this.#state === 'waiting') this.#skip();
    else this.#controller.abort(new CommandError('CANCELLED', 'the operation was cancelled'));
  }

  #skip(): void {
    const { command, method, environment, ticket } = this.#options;
    environment.logger.info({ method, operationId: command.id }, 'cancelled command passed over');
    ticket.finish();
    this.#leave();
  }

  /** Fires the signal of a running handler. What it then throws is no answer, but a CommandError is. */
  interrupt(): void {
    this.#stopping = true;
    this.#controller.abort(new CommandError('UNAVAILABLE', 'the worker is stopping'));
    this.#stop.abort(new Interrupted());
  }

  /** Does not wait for the handler any longer. */
  abandon(): void {
    this.#cancelAbandon();
    this.#cut.reject(new Interrupted());
    this.#abandoned.resolve();
    this.drop();
  }

  #arm(): void {
    const { clock } = this.#options.environment;
    const { reply, deadlineMs } = this.#options.command;
    if (reply !== null) this.#signs.start();
    if (deadlineMs === null) return;
    this.#timers.push(clock.setTimer(() => void this.#onDeadline(), deadlineMs - this.#receivedMs));
  }

  #isExpired(): boolean {
    const { deadlineMs } = this.#options.command;
    return deadlineMs !== null && deadlineMs <= this.#options.environment.clock.nowMs();
  }

  #late(): Reply {
    return errorReply(new CommandError('DEADLINE_EXCEEDED', `${this.#options.method} was not done by its deadline`));
  }

  async #onDeadline(): Promise<void> {
    if (this.#isSettling) return;
    if (this.#state === 'started') {
      this.#controller.abort(new CommandError('DEADLINE_EXCEEDED', 'the deadline of the command has passed'));
      this.#cut.resolve(this.#late());
      this.#abandonLater();
    } else if (this.#state === 'waiting') {
      this.#state = 'started';
      const stored = await this.#findStored();
      await this.#answer(stored ?? this.#late(), stored !== undefined);
    }
  }

  /** A duplicate that comes late is told the truth: the first coming may have ended well. */
  async #findStored(): Promise<Reply | undefined> {
    return this.#options.environment.deduplication.find(this.#key).catch(() => undefined);
  }

  #abandonLater(): void {
    const { clock, abandonAfterMs, logger } = this.#options.environment;
    this.#cancelAbandon = clock.setTimer(() => {
      logger.error(
        { method: this.#options.method, operationId: this.#options.command.id },
        'handler ignores its signal',
      );
      this.#abandoned.resolve();
    }, abandonAfterMs);
    void this.#handling.finally(() => this.#cancelAbandon());
  }

  #runOnce(): Promise<Outcome> {
    const work = (transaction: unknown) => this.#work(transaction);
    const limits = { signal: this.#controller.signal, stopped: this.#stop.signal };
    return this.#options.environment.deduplication.runOnce(this.#key, work, limits);
  }

  /** A duplicate that waits for the first coming is answered at its own deadline too. */
  async #missedDeadline(): Promise<Outcome> {
    return { reply: await this.#cut.promise, duplicate: false };
  }

  /** Called again where the store has lost what the handler did. */
  async #work(transaction: unknown): Promise<Reply> {
    this.#isSettling = false;
    // A duplicate gets here late, when the first coming was interrupted.
    if (this.#stopping || this.#state !== 'started') throw new Interrupted();
    if (this.#isExpired()) return this.#late();
    if (this.#controller.signal.aborted) throw this.#controller.signal.reason;
    this.#handlerWasCalled = true;
    const handling = this.#callHandler(transaction);
    this.#handling = handling.catch(() => {});
    return Promise.race([handling.finally(() => this.#settle()), this.#cut.promise]);
  }

  #settle(): void {
    this.#isSettling = !this.#stopping && this.#state === 'started' && !this.#isExpired();
  }

  async #callHandler(transaction: unknown): Promise<Reply> {
    const { command, method, handler, environment } = this.#options;
    const { signal } = this.#controller;
    try {
      return await callHandler({ command, method, handler, environment, signal, transaction, signs: this.#signs });
    } catch (error) {
      const isAnswer = error instanceof CommandError && error !== signal.reason;
      if (this.#stopping && !isAnswer) throw new Interrupted();
      return this.#refuse(error);
    }
  }

  #refuse(error: unknown): Reply {
    if (error instanceof CommandError) return errorReply(error);
    const { command, method, environment } = this.#options;
    environment.logger.error({ error, method, operationId: command.id }, 'handler failed');
    const message = environment.exposeErrors ? String(error) : 'the worker failed';
    return errorReply(new CommandError('INTERNAL', message));
  }

  async #answer(reply: Reply, duplicate: boolean): Promise<void> {
    if (this.#state === 'answered' || this.#state === 'gone') return;
    this.#state = 'answered';
    this.#disarm();
    const acknowledged = await sendTerminal(this.#options.command, reply, this.#options.environment);
    this.#logOutcome(reply, duplicate, acknowledged);
    if (acknowledged) this.#options.ticket.finish();
    this.#leave();
  }

  async #sendSign(reply: Reply): Promise<void> {
    const record = addressReply(this.#options.command, reply);
    if (record !== null) await this.#options.environment.send(record);
  }

  #logOutcome(reply: Reply, duplicate: boolean, acknowledged: boolean): void {
    const { command, method, environment } = this.#options;
    const { id: operationId, attempt } = command;
    const code = reply.headers.find(([name]) => name === 'sluice-code')?.[1] ?? 'OK';
    const durationMs = environment.clock.nowMs() - this.#receivedMs;
    const fields = { method, operationId, attempt, code, duplicate, acknowledged, durationMs };
    environment.logger.info(fields, 'command');
  }

  #disarm(): void {
    this.#signs.stop();
    for (const cancel of this.#timers) cancel();
    this.#timers = [];
  }

  #leave(): void {
    this.#state = 'gone';
    this.#disarm();
    this.#options.onGone();
  }
}

/** A command without a `ce_id` is known by its record; the time tells topics apart that were made anew. */
function nameRecord({ record }: Command): string {
  return `${record.topic}/${record.partition}/${record.offset}@${record.timestampMs}`;
}
