import { systemClock } from './clock.ts';
import { jsonCodec } from './codec.ts';
import { type Command, methodToType, readCommand, withNamespace } from './command.ts';
import { CommandRun, type RunEnvironment } from './command-run.ts';
import { OffsetCommitter } from './committer.ts';
import { ControlWatch } from './control-watch.ts';
import { CommandError } from './errors.ts';
import type { Handler } from './handler-call.ts';
import { Lanes } from './lanes.ts';
import { jsonLogger } from './log.ts';
import { MemoryDeduplication } from './memory-deduplication.ts';
import { OffsetTracker, type Ticket } from './offsets.ts';
import { addressReply, errorReply } from './reply.ts';
import type { IncomingRecord, Subscription, TopicPartition } from './transport.ts';
import { type HandleOptions, readBound, type StopOptions, type WorkerOptions } from './worker-options.ts';

interface Registration {
  readonly method: string;
  readonly topic: string;
  readonly handler: Handler<unknown, unknown, unknown>;
  readonly signEveryMs: number | null;
}

/** @throws TypeError or RangeError that names the option */
export function createWorker<Transaction = null>(options: WorkerOptions<Transaction>): Worker<Transaction> {
  return new Worker(options);
}

/**
 * Serves commands: takes records from the group's topics, runs handlers, sends replies, commits offsets.
 *
 * Commands of one key run one after the other in the order of their records; others run side by side. An offset is
 * committed only after the replies of all commands up to it are acknowledged, so a crash loses none; some come twice then.
 */
export class Worker<Transaction = null> {
  readonly #options: WorkerOptions<Transaction>;
  readonly #environment: RunEnvironment;
  readonly #maxInFlight: number;
  /** By `ce_type`. */
  readonly #handlers = new Map<string, Registration>();
  readonly #runs = new Set<CommandRun>();
  readonly #offsets = new OffsetTracker();
  readonly #lanes: Lanes;
  readonly #control: ControlWatch | null;
  /** Records that came before it was known what is cancelled; null from then on. */
  #early: IncomingRecord[] | null = [];
  #committer: OffsetCommitter | null = null;
  #subscription: Subscription | null = null;
  #state: 'new' | 'running' | 'stopping' | 'stopped' = 'new';
  #paused = false;
  #onEmpty: (() => void) | null = null;
  #stopped: Promise<void> | null = null;

  constructor(options: WorkerOptions<Transaction>) {
    if (!options.group) throw new TypeError('group: expected a name');
    this.#options = options;
    this.#maxInFlight = readBound('maxInFlight', options.maxInFlight ?? 1_000);
    this.#lanes = new Lanes(readBound('concurrency', options.concurrency ?? 16));
    const clock = options.clock ?? systemClock;
    this.#environment = {
      clock,
      logger: options.logger ?? jsonLogger({ group: options.group }),
      group: withNamespace(options.namespace, options.group),
      codec: options.codec ?? jsonCodec,
      deduplication: options.deduplication ?? new MemoryDeduplication({ clock }),
      acceptedAfterMs: readBound('acceptedAfterMs', options.acceptedAfterMs ?? 500),
      abandonAfterMs: readBound('abandonAfterMs', options.abandonAfterMs ?? 30_000),
      exposeErrors: options.exposeErrors ?? false,
      send: (record) => options.transport.send([record]),
    };
    this.#control = this.#createControl();
  }

  #createControl(): ControlWatch | null {
    const { transport, namespace, controlTopic = 'sluice.control' } = this.#options;
    if (controlTopic === false) return null;
    const { clock, logger, group } = this.#environment;
    const topic = withNamespace(namespace, controlTopic);
    return new ControlWatch({ transport, topic, group, clock, logger, onCancelled: (id) => this.#cancel(id) });
  }

  /**
   * Registers the handler of `package.Service/Method`; before `start`.
   * @throws TypeError for a name of another form, Error for a second handler or a worker that has started
   */
  handle<Request = unknown, Response = unknown>(
    method: string,
    handler: Handler<Request, Response, Transaction>,
    options: HandleOptions = {},
  ): this {
    const type = methodToType(method);
    if (this.#state !== 'new') throw new Error(`${method}: handlers must be registered before start()`);
    if (this.#handlers.has(type)) throw new Error(`${method}: has a handler already`);
    const topic = withNamespace(this.#options.namespace, options.topic ?? type);
    const { redeliverAfterMs = this.#options.redeliverAfterMs } = options;
    const signEveryMs = redeliverAfterMs === undefined ? null : readBound('redeliverAfterMs', redeliverAfterMs) / 3;
    const anyHandler = handler as Handler<unknown, unknown, unknown>;
    this.#handlers.set(type, { method, topic, handler: anyHandler, signEveryMs });
    return this;
  }

  /** Resolves when the worker is a member of its group. Rejects where a topic is missing and may not be created. */
  async start(): Promise<void> {
    if (this.#state !== 'new') throw new Error('start() may be called once');
    if (this.#handlers.size === 0) throw new Error('start(): no handler is registered');
    this.#state = 'running';
    const { transport } = this.#options;
    const { group, deduplication } = this.#environment;
    const topics = [...new Set([...this.#handlers.values()].map((registration) => registration.topic))];
    await Promise.all([transport.ensureTopics?.(topics), deduplication.ensure?.()]);
    const subscription = await this.#join(topics);
    this.#committer = new OffsetCommitter({
      offsets: this.#offsets,
      commit: (positions) => subscription.commit(positions),
      clock: this.#environment.clock,
      logger: this.#environment.logger,
      intervalMs: readBound('commitIntervalMs', this.#options.commitIntervalMs ?? 100),
    });
    const early = this.#early ?? [];
    this.#early = null;
    this.#receive(early);
    this.#environment.logger.info({ topics, group }, 'worker started');
  }

  /** Resolves when it is also known what is cancelled: commands that come meanwhile wait for that. */
  async #join(topics: readonly string[]): Promise<Subscription> {
    const reading = this.#control?.start();
    try {
      this.#subscription = await this.#options.transport.subscribe({
        topics,
        group: this.#environment.group,
        onRecords: (records) => this.#receive(records),
        onRevoked: (partitions) => this.#revoke(partitions),
      });
    } catch (error) {
      await this.#control?.close();
      throw error;
    }
    // What came while the subscription was being made found nobody to pause it.
    this.#regulate();
    await reading;
    return this.#subscription;
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
    await Promise.all([this.#subscription?.close(), this.#control?.close()]);
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
    if (this.#early !== null) this.#early.push(...records);
    else this.#takeAll(records);
    this.#regulate();
  }

  #takeAll(records: readonly IncomingRecord[]): void {
    for (const record of records) {
      const ticket = this.#offsets.receive(record.topic, record.partition, record.offset);
      if (ticket !== null) this.#take(readCommand(record), ticket);
    }
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
      signEveryMs: registration.signEveryMs,
      environment: this.#environment,
      onGone: () => this.#onGone(run),
    });
    this.#runs.add(run);
    if (this.#control?.isCancelled(command.id)) run.cancel();
    else this.#lanes.add(laneOf(command.record), () => run.takeTurn());
  }

  #cancel(operationId: string): void {
    for (const run of this.#runs) if (run.operationId === operationId) run.cancel();
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
    const inFlight = this.#runs.size + (this.#early?.length ?? 0);
    if (!this.#paused && inFlight >= this.#maxInFlight) {
      this.#paused = true;
      this.#subscription.pause();
    } else if (this.#paused && inFlight <= this.#maxInFlight / 2) {
      this.#paused = false;
      this.#subscription.resume();
    }
  }

  /** What waits is dropped, for its new owner runs it. What runs goes on: it may be the last that knows what it did. */
  #revoke(partitions: readonly TopicPartition[]): void {
    this.#offsets.forget(partitions);
    const isRevoked = (record: TopicPartition) =>
      partitions.some(({ topic, partition }) => topic === record.topic && partition === record.partition);
    if (this.#early !== null) this.#early = this.#early.filter((record) => !isRevoked(record));
    for (const run of this.#runs) if (!run.started && !run.isHeld) run.drop();
  }
}

/** Commands of one key stand in one partition, so key and partition together name the queue. Without a key: no order. */
function laneOf(record: IncomingRecord): string | null {
  if (record.key === null) return null;
  return `${record.topic}/${record.partition}/${Buffer.from(record.key).toString('latin1')}`;
}
