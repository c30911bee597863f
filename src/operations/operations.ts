import type { Clock } from '../runtime/clock.ts';
import { Failure } from '../runtime/failure.ts';
import type { AwaitedCall } from './calls/awaited-call.ts';
import type { AwaitedCalls } from './calls/awaited-calls.ts';
import type { KeyedCalls } from './calls/keyed-calls.ts';
import type { Promoter } from './calls/promote.ts';
import type { CommandPublisher, PublishReceipt, SealCommand } from './channel-ports.ts';
import { formatCorrelation } from './correlation.ts';
import { type Departure, dispatchOf, expiredFailure, newOperation } from './departure.ts';
import { failureOfAccept, failureOfPublish, RETRY_AFTER_MS, reusedFailure } from './failures.ts';
import type { HomeLease, SettlementWaits } from './gateway-ports.ts';
import type { Invocation, Outcome } from './invocation.ts';
import { isTerminal, type Operation } from './operation.ts';
import type { Dispatcher } from './outbox/dispatch.ts';
import { mayBeRecorded, type Recorder } from './outbox/record.ts';
import { outcomeOfArrival } from './outcome.ts';
import type { IdempotencyKey, Inserted, KeyHolder, NewOperation } from './store-ports.ts';
import { planWait, type WaitPlan } from './wait-plan.ts';

/** A send outlives the wait by this much: a stalled broker then ends in a promotion, not in a publish error. */
const PUBLISH_GRACE_MS = 1000;

export interface OperationsDeps {
  readonly bootId: string;
  readonly clock: Clock;
  /** Unix ms by the database's clock as far as it is known: what deadlines and ids are made of. */
  readonly nowMs: () => number;
  readonly nextId: () => string;
  readonly seal: SealCommand;
  readonly publisher: CommandPublisher;
  readonly leases: HomeLease;
  readonly calls: AwaitedCalls;
  readonly recorder: Recorder;
  readonly promoter: Promoter;
  readonly dispatcher: Dispatcher;
  readonly waits: SettlementWaits;
  readonly keys: KeyedCalls;
  /** The caller of an unrecorded call went away: workers may stop. */
  readonly onGone: (operationId: string) => void;
  /** An ordered operation waits for an earlier one, or waits no longer: the chores publish it. */
  readonly onOrdered: () => void;
}

/** Records first or not, dispatches, awaits, promotes: the middle of the path. */
export class Operations {
  readonly #deps: OperationsDeps;

  constructor(deps: OperationsDeps) {
    this.#deps = deps;
  }

  /** Throws `Failure`; every one says what became of the command. */
  invoke(invocation: Invocation): Promise<Outcome> {
    if (invocation.idempotency !== null) return this.#invokeKeyed(invocation);
    const departure = this.#prepare(invocation);
    if (departure.plan.recordFirst) return this.#invokeRecorded(departure);
    return invocation.command.policy.style === 'NOTIFY' ? this.#notify(departure) : this.#invokeUnrecorded(departure);
  }

  // ---- with an Idempotency-Key -----------------------------------------------------------------------------------

  /** A known key is answered before anything can refuse the call. */
  async #invokeKeyed(invocation: Invocation): Promise<Outcome> {
    const startedAtMs = this.#deps.clock.monotonicMs();
    const claim = await this.#deps.keys.claim(invocation);
    if (claim.kind === 'known') return this.#answerHolder(invocation, claim.holder, startedAtMs);
    let departure: Departure;
    let accepted: Inserted;
    try {
      departure = this.#prepare(invocation);
      accepted = await this.#accept(departure);
    } catch (error) {
      claim.abandon(error);
      throw error;
    }
    const holder = accepted.kind === 'key_taken' ? accepted.holder : holderOf(departure, accepted.operation);
    claim.complete(holder);
    if (accepted.kind === 'key_taken') return this.#answerHolder(invocation, holder, startedAtMs);
    return this.#awaitRecorded(departure, accepted.operation);
  }

  /** The answer of the operation that has the key, for which this caller waits as long as it asks to: mostly the first one is gone. */
  async #answerHolder(invocation: Invocation, holder: KeyHolder, startedAtMs: number): Promise<Outcome> {
    refuseOtherPayload(invocation, holder);
    const { operation } = holder;
    invocation.onRecorded?.(operation);
    if (isTerminal(operation.state)) return { kind: 'settled', operation };
    const plan = planWait(invocation, startedAtMs);
    const { signal } = invocation;
    if (plan.waitMs === 0) return concludeWait(operation, signal, plan);
    // Not told what is known: it may have been settled since, and is read again once the wait is registered.
    const waiting = { untilMs: startedAtMs + plan.waitMs, signal };
    return concludeWait((await this.#waitFor(operation.id, waiting)) ?? operation, signal, plan);
  }

  #prepare(invocation: Invocation): Departure {
    const { leases, clock, nowMs, nextId, seal, publisher, bootId } = this.#deps;
    const home = leases.home();
    if (home === null) {
      const detail = 'this instance has no reply partition yet, so no answer could come home';
      throw new Failure('NOT_READY', detail, { retryAfterMs: RETRY_AFTER_MS });
    }
    const startedAtMs = clock.monotonicMs();
    const { policy, type } = invocation.command;
    const plan = planWait(invocation, startedAtMs);
    const id = nextId();
    const createdAtMs = nowMs();
    const deadlineMs = createdAtMs + plan.timeoutMs;
    const unrecordedBy = plan.recordFirst ? null : bootId;
    const correlationId = formatCorrelation({ operationId: id, homePartition: home.partition, unrecordedBy });
    const record = seal({
      operationId: id,
      type,
      topic: policy.topic,
      key: invocation.key,
      value: invocation.value,
      contentType: invocation.contentType,
      reply:
        policy.style === 'NOTIFY' ? null : { correlationId, partition: home.partition, dialect: policy.replyPartition },
      createdAtMs,
      deadlineMs,
      attempt: 1,
      hops: invocation.hops,
      traceparent: invocation.traceparent,
      tracestate: invocation.tracestate,
      principal: invocation.principal.id,
      extraHeaders: invocation.extraHeaders,
    });
    publisher.assertFits(record);
    return { id, invocation, plan, home, record, createdAtMs, deadlineMs, waitUntilMs: startedAtMs + plan.waitMs };
  }

  async #notify(departure: Departure): Promise<Outcome> {
    const giveUpAtMs = this.#deps.clock.monotonicMs() + departure.invocation.command.policy.waitMs;
    await this.#deps.publisher.publish(departure.record, giveUpAtMs).catch((error) => {
      throw failureOfPublish(error);
    });
    return { kind: 'noted', operationId: departure.id };
  }

  // ---- recorded before dispatch ----------------------------------------------------------------------------------

  async #invokeRecorded(departure: Departure): Promise<Outcome> {
    const accepted = await this.#accept(departure);
    // Without a key nothing else can have the place of a new id.
    if (accepted.kind === 'key_taken')
      throw new Failure('INTERNAL', `operation ${departure.id} has no key to be taken`);
    return this.#awaitRecorded(departure, accepted.operation);
  }

  async #awaitRecorded(departure: Departure, accepted: Operation): Promise<Outcome> {
    const { plan, invocation } = departure;
    invocation.onRecorded?.(accepted);
    if (plan.waitMs === 0) return { kind: 'pending', operation: accepted };
    const waiting = { untilMs: departure.waitUntilMs, signal: invocation.signal, known: accepted };
    return concludeWait((await this.#waitFor(departure.id, waiting)) ?? accepted, invocation.signal, plan);
  }

  /** Where no more requests may wait, the wait is over at once: the operation is recorded, and that can be said. */
  async #waitFor(id: string, options: Parameters<SettlementWaits['waitFor']>[1]): Promise<Operation | null> {
    try {
      return await this.#deps.waits.waitFor(id, options);
    } catch (error) {
      if (error instanceof Failure && error.code === 'OVERLOADED') return null;
      throw error;
    }
  }

  async #accept(departure: Departure): Promise<Inserted> {
    const { recorder, dispatcher } = this.#deps;
    const row = newOperation(departure, this.#deps.bootId);
    dispatcher.reserve(departure.record, departure.id);
    try {
      const inserted = await recorder.accept(row);
      this.#dispatchInserted(departure, inserted);
      return inserted;
    } catch (error) {
      if (mayBeRecorded(error)) void this.#dispatchOnceKnown(departure, row);
      else dispatcher.giveBack(departure.record, departure.id);
      throw failureOfAccept(error);
    }
  }

  /** The caller was told `unknown`; a row that is there after all is published, so that it does not stay forever. */
  async #dispatchOnceKnown(departure: Departure, row: NewOperation): Promise<void> {
    const outcome = await this.#deps.recorder.acceptUntilKnown(row);
    if (typeof outcome === 'object') this.#dispatchInserted(departure, outcome);
    else this.#deps.dispatcher.giveBack(departure.record, departure.id);
  }

  /** Another operation has the key, or an earlier one of its record's key goes first: then it is not ours to publish. */
  #dispatchInserted(departure: Departure, inserted: Inserted): void {
    const { dispatcher, onOrdered } = this.#deps;
    if (inserted.kind === 'inserted' && !inserted.held) {
      const published = dispatcher.dispatch(dispatchOf(departure));
      if (departure.invocation.command.policy.ordered) void published.then(onOrdered);
      return;
    }
    dispatcher.giveBack(departure.record, departure.id);
    if (inserted.kind === 'inserted') onOrdered();
  }

  // ---- unrecorded: fast, and promised nothing yet ----------------------------------------------------------------

  async #invokeUnrecorded(departure: Departure): Promise<Outcome> {
    const { calls, clock } = this.#deps;
    const { signal } = departure.invocation;
    const call = calls.open(departure.id, departure.record.value.byteLength);
    const leave = () => call.leave();
    const cancelTimer = clock.setTimer(() => call.expire(), departure.plan.waitMs);
    signal.addEventListener('abort', leave, { once: true });
    if (signal.aborted) leave();
    try {
      const publish = this.#publishUnrecorded(departure, call);
      return await this.#awaitEnd(departure, call, publish);
    } finally {
      cancelTimer();
      signal.removeEventListener('abort', leave);
      if (call.state === 'answered' || call.state === 'waiting') calls.close(call);
    }
  }

  #publishUnrecorded(departure: Departure, call: AwaitedCall): Promise<PublishReceipt> {
    const publish = this.#deps.publisher.publish(departure.record, departure.waitUntilMs + PUBLISH_GRACE_MS);
    publish.then(
      (receipt) => call.markPublished(receipt),
      (error) => call.failToPublish(error),
    );
    return publish;
  }

  async #awaitEnd(departure: Departure, call: AwaitedCall, publish: Promise<PublishReceipt>): Promise<Outcome> {
    const end = await call.take();
    switch (end.kind) {
      case 'reply':
      case 'unreadable':
        return outcomeOfArrival(call.id, end);
      case 'unsent':
        throw failureOfPublish(end.error);
      case 'gone':
        this.#deps.onGone(call.id);
        throw goneFailure(null);
      case 'expired':
        if (departure.plan.onExpiry === 'FAIL') throw expiredFailure(departure.plan, null);
        // A reply that came between the timer and this line has ended the wait itself: it is the answer.
        if (!call.beginPromotion()) return this.#awaitEnd(departure, call, publish);
        return this.#deps.promoter.promote(departure, call, publish);
    }
  }
}

function holderOf(departure: Departure, operation: Operation): KeyHolder {
  const { fingerprint } = departure.invocation.idempotency as IdempotencyKey;
  return { operation, fingerprint };
}

function refuseOtherPayload({ idempotency }: Invocation, holder: KeyHolder): void {
  if (Buffer.compare((idempotency as IdempotencyKey).fingerprint, holder.fingerprint) === 0) return;
  throw reusedFailure(holder.operation.id);
}

function concludeWait(operation: Operation, signal: AbortSignal, plan: WaitPlan): Outcome {
  if (isTerminal(operation.state)) return { kind: 'settled', operation };
  if (signal.aborted) throw goneFailure(operation.id);
  if (plan.onExpiry === 'FAIL') throw expiredFailure(plan, operation.id);
  return { kind: 'pending', operation };
}

function goneFailure(operationId: string | null): Failure {
  const more = operationId === null ? {} : { operationId };
  return new Failure('CALL_CANCELLED', 'the caller went away before there was an answer', {
    delivery: 'unknown',
    ...more,
  });
}
