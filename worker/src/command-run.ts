import { type Clock, delay } from './clock.ts';
import type { Codec } from './codec.ts';
import type { Command } from './command.ts';
import { type CommandContext, createContext } from './context.ts';
import type { DeduplicationStore } from './deduplication.ts';
import { CommandError } from './errors.ts';
import type { Logger } from './log.ts';
import type { Ticket } from './offsets.ts';
import { addressReply, errorReply, type Reply } from './reply.ts';
import { SignsOfLife } from './signs-of-life.ts';
import { type OutgoingRecord, SendError } from './transport.ts';

export type Handler<Request, Response> = (request: Request, context: CommandContext) => Promise<Response> | Response;

/** What all commands of a worker share. */
export interface RunEnvironment {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly codec: Codec;
  readonly deduplication: DeduplicationStore;
  readonly acceptedAfterMs: number;
  readonly abandonAfterMs: number;
  readonly exposeErrors: boolean;
  readonly send: (record: OutgoingRecord) => Promise<void>;
}

export interface RunOptions {
  readonly command: Command;
  readonly method: string;
  readonly handler: Handler<unknown, unknown>;
  readonly ticket: Ticket;
  readonly environment: RunEnvironment;
  /** Called once: the command needs no more of this worker. */
  readonly onGone: () => void;
}

/** The worker stopped before the command was done: no reply, no mark, no offset; another member of the group runs it. */
class Interrupted extends Error {}

const RETRY_FULL_MS = 100;

/**
 * One command from its arrival to its acknowledged reply.
 *
 * waiting → started → answered → gone. The deadline answers in any state before `answered`; the handler may then still
 * run, and keeps its lane until it ends, since the next command of its key must not run beside it, or until it is
 * abandoned. `gone` without an answer is a command that another member of the group will run.
 */
export class CommandRun {
  readonly #options: RunOptions;
  readonly #controller = new AbortController();
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

  constructor(options: RunOptions) {
    this.#options = options;
    this.#signs = new SignsOfLife({
      send: (reply) => this.#sendSign(reply),
      isWanted: () => this.#state === 'waiting' || this.#state === 'started',
      logger: options.environment.logger,
    });
    this.#receivedMs = options.environment.clock.nowMs();
    // Rejected while nobody awaits it, it would end the process.
    this.#cut.promise.catch(() => {});
    this.#arm();
  }

  get started(): boolean {
    return this.#state !== 'waiting';
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
      if (!(error instanceof Interrupted)) this.#options.environment.logger.error({ error }, 'de-duplication failed');
      if (error instanceof Interrupted || this.#stopping) this.drop();
      else void this.#answer(errorReply(new CommandError('UNAVAILABLE', 'the worker cannot run commands now')), false);
    }
    await Promise.race([this.#handling, this.#abandoned.promise]);
  }

  /** Leaves the command to another member of the group, unanswered. */
  drop(): void {
    if (this.#state === 'answered' || this.#state === 'gone') return;
    this.#leave();
  }

  /** Fires the signal of a running handler. What it then throws is no answer, but a CommandError is. */
  interrupt(): void {
    this.#stopping = true;
    this.#controller.abort(new CommandError('UNAVAILABLE', 'the worker is stopping'));
  }

  /** Does not wait for the handler any longer. */
  abandon(): void {
    this.#cancelAbandon();
    this.#cut.reject(new Interrupted());
    this.#abandoned.resolve();
    this.drop();
  }

  #arm(): void {
    const { clock, acceptedAfterMs } = this.#options.environment;
    const { reply, deadlineMs } = this.#options.command;
    if (reply !== null) this.#timers.push(clock.setTimer(() => void this.#signs.accept(), acceptedAfterMs));
    if (deadlineMs === null) return;
    this.#timers.push(clock.setTimer(() => void this.#onDeadline(), deadlineMs - this.#receivedMs));
  }

  #isExpired(): boolean {
    const { deadlineMs } = this.#options.command;
    return deadlineMs !== null && deadlineMs <= this.#options.environment.clock.nowMs();
  }

  async #onDeadline(): Promise<void> {
    const late = errorReply(
      new CommandError('DEADLINE_EXCEEDED', `${this.#options.method} was not done by its deadline`),
    );
    if (this.#state === 'started') {
      this.#controller.abort(new CommandError('DEADLINE_EXCEEDED', 'the deadline of the command has passed'));
      this.#cut.resolve(late);
      this.#abandonLater();
    } else if (this.#state === 'waiting') {
      this.#state = 'started';
      const stored = await this.#findStored();
      await this.#answer(stored ?? late, stored !== undefined);
    }
  }

  /** A duplicate that comes late is told the truth: the first coming may have ended well. */
  async #findStored(): Promise<Reply | undefined> {
    const { command, environment } = this.#options;
    if (command.id === null) return undefined;
    return environment.deduplication.find(command.id).catch(() => undefined);
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

  async #runOnce(): Promise<{ reply: Reply; duplicate: boolean }> {
    const { command, environment } = this.#options;
    const work = () => this.#work();
    if (command.id === null) return { reply: await work(), duplicate: false };
    return environment.deduplication.runOnce(command.id, work);
  }

  /** A duplicate that waits for the first coming is answered at its own deadline too. */
  async #missedDeadline(): Promise<{ reply: Reply; duplicate: boolean }> {
    return { reply: await this.#cut.promise, duplicate: false };
  }

  #work(): Promise<Reply> {
    // A duplicate gets here late, when the first coming was interrupted.
    if (this.#stopping || this.#state !== 'started') return Promise.reject(new Interrupted());
    if (this.#controller.signal.aborted) return this.#cut.promise;
    const handling = this.#callHandler();
    this.#handling = handling.catch(() => {});
    return Promise.race([handling, this.#cut.promise]);
  }

  async #callHandler(): Promise<Reply> {
    const { command, method, handler, environment } = this.#options;
    const { context, responseHeaders } = createContext({
      method,
      command,
      signal: this.#controller.signal,
      logger: environment.logger,
      accepted: () => this.#signs.accept(),
      progress: (progress) => this.#signs.report(progress),
    });
    try {
      const { contentType } = command;
      const request = environment.codec.decodeRequest(method, { contentType, value: command.record.value });
      const response = await handler(request, context);
      const encoded = environment.codec.encodeResponse(method, response, contentType);
      return { kind: 'result', ...encoded, headers: responseHeaders() };
    } catch (error) {
      const isAnswer = error instanceof CommandError && error !== this.#controller.signal.reason;
      if (this.#stopping && !isAnswer) throw new Interrupted();
      return this.#refuse(error, context.log);
    }
  }

  #refuse(error: unknown, log: Logger): Reply {
    if (error instanceof CommandError) return errorReply(error);
    log.error({ error }, 'handler failed');
    const message = this.#options.environment.exposeErrors ? String(error) : 'the worker failed';
    return errorReply(new CommandError('INTERNAL', message));
  }

  async #answer(reply: Reply, duplicate: boolean): Promise<void> {
    if (this.#state === 'answered' || this.#state === 'gone') return;
    this.#state = 'answered';
    this.#disarm();
    const acknowledged = await this.#sendTerminal(reply);
    this.#logOutcome(reply, duplicate, acknowledged);
    if (acknowledged) this.#options.ticket.finish();
    this.#leave();
  }

  /** True when the offset may move: acknowledged, or refused for good, which no redelivery would mend. */
  async #sendTerminal(reply: Reply): Promise<boolean> {
    const { command, environment } = this.#options;
    const record = addressReply(command, reply);
    if (record === null) return true;
    for (;;) {
      try {
        await environment.send(record);
        return true;
      } catch (error) {
        if (!(error instanceof SendError) || error.reason === 'closed') return false;
        if (error.reason === 'too_large' && reply.kind === 'result') return this.#sendTerminal(tooLarge(reply));
        if (error.reason !== 'full') {
          environment.logger.error({ error, topic: record.topic, operationId: command.id }, 'reply refused by the bus');
          return true;
        }
        await delay(environment.clock, RETRY_FULL_MS);
      }
    }
  }

  async #sendSign(reply: Reply): Promise<void> {
    const record = addressReply(this.#options.command, reply);
    if (record !== null) await this.#options.environment.send(record);
  }

  #logOutcome(reply: Reply, duplicate: boolean, acknowledged: boolean): void {
    const { command, method, environment } = this.#options;
    const code = reply.headers.find(([name]) => name === 'sluice-code')?.[1] ?? 'OK';
    const durationMs = environment.clock.nowMs() - this.#receivedMs;
    const fields = {
      method,
      operationId: command.id,
      attempt: command.attempt,
      code,
      duplicate,
      acknowledged,
      durationMs,
    };
    environment.logger.info(fields, 'command');
  }

  #disarm(): void {
    for (const cancel of this.#timers) cancel();
    this.#timers = [];
  }

  #leave(): void {
    this.#state = 'gone';
    this.#disarm();
    this.#options.onGone();
  }
}

function tooLarge(reply: Reply): Reply {
  const sizeBytes = reply.value?.length ?? 0;
  return errorReply(
    new CommandError('RESOURCE_EXHAUSTED', `the result of ${sizeBytes} bytes is larger than its topic takes`),
  );
}
