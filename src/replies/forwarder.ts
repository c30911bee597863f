import { type OwnRecord, PublishError, type RecordSender } from '../operations/channel-ports.ts';
import type { Reply, UnreadableReply } from '../operations/reply.ts';
import { backoffDelays, pause } from '../runtime/backoff.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Logger } from '../runtime/log.ts';
import type { Counter, Metrics } from '../runtime/metrics.ts';
import { Trouble } from '../runtime/trouble.ts';

const ROUND_MS = 5000;
const REPEAT = { firstMs: 100, maxMs: 5000 };

/** The forms that a reply takes on its way on; of the channel. */
export interface ForwardedForms {
  /** For the partition that its correlation id names. */
  rehomed(reply: Reply | UnreadableReply, homePartition: number): OwnRecord;
  deadLetter(reply: UnreadableReply): OwnRecord;
  /** The same with size and hash in place of the value, for a topic that refuses it as it is. */
  withoutValue(deadLetter: OwnRecord): OwnRecord;
}

export interface ForwarderDeps {
  readonly sender: RecordSender;
  readonly forms: ForwardedForms;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/**
 * Sends replies on that have their place elsewhere: to their home partition, or to the dead letters. The read position
 * does not pass a reply before its copy is on the log, so each is repeated until it is, or refused for good.
 */
export class Forwarder {
  readonly #deps: ForwarderDeps;
  readonly #maxPending: number;
  readonly #stop = new AbortController();
  readonly #running = new Set<Promise<void>>();
  readonly #roomWaiters: (() => void)[] = [];
  readonly #trouble: Trouble;
  readonly #forwarded: Counter;

  constructor(options: { readonly maxPending: number }, deps: ForwarderDeps) {
    this.#maxPending = options.maxPending;
    this.#deps = deps;
    this.#trouble = new Trouble('replies cannot be sent on and are repeated', deps.logger);
    this.#forwarded = deps.metrics.counter(
      'sluice_forwarded_replies_total',
      'Replies sent on to their home partition or to the dead letters, by what became of them.',
      ['fate'],
    );
  }

  get hasRoom(): boolean {
    return this.#running.size < this.#maxPending;
  }

  /** Resolves once there is room; at once where there is. */
  room(): Promise<void> | undefined {
    if (this.hasRoom || this.#stop.signal.aborted) return undefined;
    return new Promise((resolve) => this.#roomWaiters.push(resolve));
  }

  /**
   * `onDone` is called once the reply may be passed as far as its copy goes, with whether there is one; not where the
   * forwarder is stopped before.
   */
  rehome(reply: Reply | UnreadableReply, homePartition: number, onDone: (isSent: boolean) => void): void {
    this.#track(this.#rehome(this.#deps.forms.rehomed(reply, homePartition), onDone));
  }

  bury(reply: UnreadableReply, onDone: () => void): void {
    this.#track(this.#bury(reply, onDone));
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    for (const resolve of this.#roomWaiters.splice(0)) resolve();
    await Promise.all(this.#running);
  }

  #track(run: Promise<void>): void {
    const tracked = run.finally(() => {
      this.#running.delete(tracked);
      // A second reader may have added more than a batch's room: not one batch more for each that ends.
      if (this.hasRoom) for (const resolve of this.#roomWaiters.splice(0)) resolve();
    });
    this.#running.add(tracked);
  }

  async #rehome(record: OwnRecord, onDone: (isSent: boolean) => void): Promise<void> {
    const outcome = await this.#send(record);
    if (outcome === 'stopped') return;
    this.#forwarded.add(1, outcome === 'sent' ? 'rehomed' : 'refused');
    onDone(outcome === 'sent');
  }

  async #bury(reply: UnreadableReply, onDone: () => void): Promise<void> {
    const { forms, logger } = this.#deps;
    const deadLetter = forms.deadLetter(reply);
    let outcome = await this.#send(deadLetter);
    if (outcome === 'refused') outcome = await this.#send(forms.withoutValue(deadLetter));
    if (outcome === 'stopped') return;
    const { partition, offset } = reply.position;
    if (outcome === 'refused') {
      logger.error(
        { partition, offset: String(offset), reason: reply.reason },
        'a dead letter was refused: it is passed',
      );
    }
    this.#forwarded.add(1, outcome === 'sent' ? 'dead_letter' : 'refused');
    onDone();
  }

  async #send(record: OwnRecord): Promise<'sent' | 'refused' | 'stopped'> {
    const { sender, clock } = this.#deps;
    for (const delayMs of backoffDelays(REPEAT)) {
      try {
        await sender.send(record, clock.monotonicMs() + ROUND_MS);
        this.#trouble.end();
        return 'sent';
      } catch (error) {
        if (error instanceof PublishError && error.definite) return 'refused';
        this.#trouble.note({ topic: record.topic, cause: String(error) });
      }
      await pause(clock, delayMs, this.#stop.signal);
      if (this.#stop.signal.aborted) return 'stopped';
    }
    return 'stopped';
  }
}
