import { type Clock, systemClock } from './clock.ts';
import { type Codec, jsonCodec } from './codec.ts';
import { type Command, methodToType, readCommand, withNamespace } from './command.ts';
import { CommandRun, type Handler, type RunEnvironment } from './command-run.ts';
import { OffsetCommitter } from './committer.ts';
import { type DeduplicationStore, MemoryDeduplication } from './deduplication.ts';
import { CommandError } from './errors.ts';
import { Lanes } from './lanes.ts';
import { jsonLogger, type Logger } from './log.ts';
import { OffsetTracker, type Ticket } from './offsets.ts';
import { addressReply, errorReply } from './reply.ts';
import type { IncomingRecord, Subscription, TopicPartition, WorkerTransport } from './transport.ts';

export interface WorkerOptions {
  /** Closed by whoever made it: several workers and clients may share one. */
  readonly transport: WorkerTransport;
  /** Workers of one group share the commands. Takes the namespace. */
  readonly group: string;
  /** Before group and default topic names: `<namespace>.<name>`. The gateway's `KAFKA_NAMESPACE`. */
  readonly namespace?: string | undefined;
  /** Commands that run at once. Default 16. */
  readonly concurrency?: number;
  /** Commands received and not answered; at the bound fetching pauses. One fetch may pass it. Default 1,000. */
  readonly maxInFlight?: number;
  /** `accepted` is sent once a command has waited or run this long. Default 500. */
  readonly acceptedAfterMs?: number;
  /** How long a handler that ignores its signal keeps its place after the deadline. Default 30,000. */
  readonly abandonAfterMs?: number;
  /** Offsets are committed in the background, this long after a command is done. Default 100. */
  readonly commitIntervalMs?: number;
  /** Puts messages of unexpected errors into replies. For development: they may tell secrets. Default false. */
  readonly exposeErrors?: boolean;
  readonly codec?: Codec;
  readonly deduplication?: DeduplicationStore;
  /** Default: lines of JSON. A pino logger fits. */
  readonly logger?: Logger;
  readonly clock?: Clock;
}

export interface HandleOptions {
  /** Takes the namespace, as a policy's `topic` does. Default: `<package>.<Service>.<Method>`. Several methods may share one. */
  readonly topic?: string;
}

export interface StopOptions {
  /** How long handlers may go on before their signal fires. Default 30,000. */
  readonly timeoutMs?: number;
  /** How long they may take after that. Default 1,000. */
  readonly graceMs?: number;
}

interface Registration {
  readonly method: string;
  readonly topic: string;
  readonly handler: Handler<unknown, unknown>;
}

/** @throws TypeError or RangeError that names the option */
export function createWorker(options: WorkerOptions): Worker {
  return new Worker(options);
}

/**
 * Serves commands: takes records from the group's topics, runs handlers, sends replies, commits offsets.
 *
 * Commands of one key run one after the other in the order of their records; others run side by side. An offset is
 * committed only after the replies of all commands up to it are acknowledged, so a crash loses none; some come twice then.
 */
export class Worker {
  readonly #options: WorkerOptions;
  readonly #environment: RunEnvironment;
  readonly #maxInFlight: number;
  /** By `ce_type`. */
  readonly #handlers = new Map<string, Registration>();
  readonly #runs = new Set<CommandRun>();
  readonly #offsets = new OffsetTracker();
  readonly #lanes: Lanes;
  #committer: OffsetCommitter | null = null;
  #subscription: Subscription | null = null;
  #state: 'new' | 'running' | 'stopping' | 'stopped' = 'new';
  #paused = false;
  #onEmpty: (() => void) | null = null;
  #stopped: Promise<void> | null = null;

  constructor(options: WorkerOptions) {
    if (!options.group) throw new TypeError('group: expected a name');
    this.#options = options;
    this.#maxInFlight = readBound('maxInFlight', options.maxInFlight ?? 1_000);
    this.#lanes = new Lanes(readBound('concurrency', options.concurrency ?? 16));
    const clock = options.clock ?? systemClock;
    this.#environment = {
      clock,
      logger: options.logger ?? jsonLogger({ group: options.group }),
      codec: options.codec ?? jsonCodec,
      deduplication: options.deduplication ?? new MemoryDeduplication({ clock }),
      acceptedAfterMs: readBound('acceptedAfterMs', options.acceptedAfterMs ?? 500),
      abandonAfterMs: readBound('abandonAfterMs', options.abandonAfterMs ?? 30_000),
      exposeErrors: options.exposeErrors ?? false,
      send: (record) => options.transport.send([record]),
    };
  }

  /**
   * Registers the handler of `package.Service/Method`; before `start`.
   * @throws TypeError for a name of another form, Error for a second handler or a worker that has started
   */
  handle<Request = unknown, Response = unknown>(
    method: string,
    handler: Handler<Request, Response>,
    options: HandleOptions = {},
  ): this {
    const type = methodToType(method);
    if (this.#state !== 'new') throw new Error(`${method}: handlers must be registered before start()`);
    if (this.#handlers.has(type)) throw new Error(`${method}: has a handler already`);
    const topic = withNamespace(this.#options.namespace, options.topic ?? type);
    this.#handlers.set(type, { method, topic, handler: handler as Handler<unknown, unknown> });
    return this;
  }

  /** Resolves when the worker is a member of its group. Rejects where a topic is missing and may not be created. */
  async start(): Promise<void> {
    if (this.#state !== 'new') throw new Error('start() may be called once');
    if (this.#handlers.size === 0) throw new Error('start(): no handler is registered');
    this.#state = 'running';
    const { transport, namespace, group } = this.#options;
    const topics = [...new Set([...this.#handlers.values()].map((registration) => registration.topic))];
    await transport.ensureTopics?.(topics);
    const subscription = await transport.subscribe({
      topics,
      group: withNamespace(namespace, group),
      onRecords: (records) => this.#receive(records),
      onRevoked: (partitions) => this.#revoke(partitions),
    });
    this.#subscription = subscription;
    this.#committer = new OffsetCommitter({
      offsets: this.#offsets,
      commit: (positions) => subscription.commit(positions),
      clock: this.#environment.clock,
      logger: this.#environment.logger,
      intervalMs: readBound('commitIntervalMs', this.#options.commitIntervalMs ?? 100),
    });
    // What came while the subscription was being made found nobody to pause it or commit for it.
    this.#regulate();
    this.#committer.commitSoon();
    this.#environment.logger.info({ topics, group: withNamespace(namespace, group) }, 'worker started');
  }

  /**
   * Stops fetching, lets running handlers finish within `timeoutMs`, sends their replies, commits, leaves the group.
   * Commands that did not start, or did not end, are left to other members. May be called twice.
   */
  stop(options: StopOptions = {}): Promise<void> {
    this.#stopped ??= this.#stop(options.timeoutMs ?? 30_000, options.graceMs ?? 1_000);
    return this.#stopped;
  }

  async #stop(timeoutMs: number, graceMs: number): Promise<void> {
    this.#state = 'stopping';
    this.#subscription?.pause();
    this.#lanes.stop();
    for (const run of this.#runs) if (!run.started) run.drop();
    if (!(await this.#isEmptyWithin(timeoutMs))) {
      for (const run of this.#runs) run.interrupt();
      if (!(await this.#isEmptyWithin(graceMs))) for (const run of this.#runs) run.abandon();
    }
    await this.#committer?.close();
    await this.#subscription?.close();
    this.#state = 'stopped';
    this.#environment.logger.info({ group: this.#options.group }, 'worker stopped');
  }

  #isEmptyWithin(timeoutMs: number): Promise<boolean> {
    if (this.#runs.size === 0) return Promise.resolve(true);
    return new Promise((resolve) => {
      const cancel = this.#environment.clock.setTimer(() => {
        this.#onEmpty = null;
        resolve(false);
      }, timeoutMs);
      this.#onEmpty = () => {
        cancel();
        resolve(true);
      };
    });
  }

  #receive(records: readonly IncomingRecord[]): void {
    if (this.#state !== 'running') return;
    for (const record of records) {
      const ticket = this.#offsets.receive(record.topic, record.partition, record.offset);
      if (ticket !== null) this.#take(readCommand(record), ticket);
    }
    this.#regulate();
  }

  #take(command: Command, ticket: Ticket): void {
    const registration = this.#handlers.get(command.type);
    if (registration === undefined) {
      void this.#refuseUnknown(command, ticket);
      return;
    }
    const run = new CommandRun({
      command,
      ticket,
      method: registration.method,
      handler: registration.handler,
      environment: this.#environment,
      onGone: () => this.#onGone(run),
    });
    this.#runs.add(run);
    this.#lanes.add(laneOf(command.record), () => run.takeTurn());
  }

  /** Silence would cost the caller its whole timeout. */
  async #refuseUnknown(command: Command, ticket: Ticket): Promise<void> {
    const what = command.type === '' ? 'a command without ce_type' : command.type;
    this.#environment.logger.warn({ type: command.type, topic: command.record.topic }, 'no handler for this command');
    const record = addressReply(
      command,
      errorReply(new CommandError('UNIMPLEMENTED', `this worker does not serve ${what}`)),
    );
    try {
      if (record !== null) await this.#environment.send(record);
    } catch (error) {
      this.#environment.logger.error({ error }, 'reply refused by the bus');
    }
    ticket.finish();
    this.#committer?.commitSoon();
  }

  #onGone(run: CommandRun): void {
    this.#runs.delete(run);
    this.#committer?.commitSoon();
    this.#regulate();
    if (this.#runs.size === 0) {
      this.#onEmpty?.();
      this.#onEmpty = null;
    }
  }

  /** Resumes at half the bound, so that a full worker does not switch with every command. */
  #regulate(): void {
    if (this.#subscription === null || this.#state !== 'running') return;
    if (!this.#paused && this.#runs.size >= this.#maxInFlight) {
      this.#paused = true;
      this.#subscription.pause();
    } else if (this.#paused && this.#runs.size <= this.#maxInFlight / 2) {
      this.#paused = false;
      this.#subscription.resume();
    }
  }

  /** What waits is dropped, for its new owner runs it. What runs goes on: it may be the last that knows what it did. */
  #revoke(partitions: readonly TopicPartition[]): void {
    this.#offsets.forget(partitions);
    for (const run of this.#runs) if (!run.started && !run.isHeld) run.drop();
  }
}

/** Commands of one key stand in one partition, so key and partition together name the queue. Without a key: no order. */
function laneOf(record: IncomingRecord): string | null {
  if (record.key === null) return null;
  return `${record.topic}/${record.partition}/${Buffer.from(record.key).toString('latin1')}`;
}

function readBound(name: string, value: number): number {
  if (!Number.isSafeInteger(value) || value < 1)
    throw new RangeError(`${name}: expected a whole number from 1, got ${value}`);
  return value;
}
