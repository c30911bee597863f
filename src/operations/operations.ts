import type { Clock } from '../runtime/clock.ts';
import { Failure } from '../runtime/failure.ts';
import type { AwaitedCall } from './awaited-call.ts';
import type { AwaitedCalls } from './awaited-calls.ts';
import { formatCorrelation } from './correlation.ts';
import { type Departure, dispatchOf, expiredFailure, newOperation } from './departure.ts';
import type { Dispatcher } from './dispatch.ts';
import { failureOfAccept, failureOfPublish, RETRY_AFTER_MS } from './failures.ts';
import type { Invocation, Outcome } from './invocation.ts';
import { isTerminal, type Operation } from './operation.ts';
import { outcomeOfArrival } from './outcome.ts';
import type {
  CommandPublisher,
  HomeLease,
  NewOperation,
  PublishReceipt,
  SealCommand,
  SettlementWaits,
} from './ports.ts';
import type { Promoter } from './promote.ts';
import { mayBeRecorded, type Recorder } from './record.ts';
import { planWait } from './wait-plan.ts';

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
}

/** Records first or not, dispatches, awaits, promotes: the middle of the path. */
export class Operations {
  readonly #deps: OperationsDeps;

  constructor(deps: OperationsDeps) {
    this.#deps = deps;
  }

  /** Throws `Failure`; every one says what became of the command. */
  invoke(invocation: Invocation): Promise<Outcome> {
    const departure = this.#prepare(invocation);
    if (departure.plan.recordFirst) return this.#invokeRecorded(departure);
    return invocation.command.policy.style === 'NOTIFY' ? this.#notify(departure) : this.#invokeUnrecorded(departure);
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
    const asked = planWait(invocation.command, invocation.wait, startedAtMs);
    const plan = policy.style === 'NOTIFY' ? { ...asked, recordFirst: policy.record === 'ALWAYS', waitMs: 0 } : asked;
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
    const { plan, invocation } = departure;
    const accepted = await this.#accept(departure);
    invocation.onRecorded?.(accepted);
    if (plan.waitMs === 0) return { kind: 'pending', operation: accepted };
    const operation = await this.#waitForRecorded(departure, accepted);
    if (isTerminal(operation.state)) return { kind: 'settled', operation };
    if (invocation.signal.aborted) throw goneFailure(operation.id);
    if (plan.onExpiry === 'FAIL') throw expiredFailure(plan, operation.id);
    return { kind: 'pending', operation };
  }

  /** Where no more requests may wait, the wait is over at once: the operation is recorded, and that can be said. */
  async #waitForRecorded(departure: Departure, accepted: Operation): Promise<Operation> {
    const options = { untilMs: departure.waitUntilMs, signal: departure.invocation.signal, known: accepted };
    try {
      return (await this.#deps.waits.waitFor(departure.id, options)) ?? accepted;
    } catch (error) {
      if (error instanceof Failure && error.code === 'OVERLOADED') return accepted;
      throw error;
    }
  }

  async #accept(departure: Departure): Promise<Operation> {
    const { recorder, dispatcher } = this.#deps;
    const row = newOperation(departure, this.#deps.bootId);
    dispatcher.reserve(departure.record);
    try {
      const operation = await recorder.accept(row);
      dispatcher.dispatch(dispatchOf(departure));
      return operation;
    } catch (error) {
      if (mayBeRecorded(error)) void this.#dispatchOnceKnown(departure, row);
      else dispatcher.giveBack(departure.record);
      throw failureOfAccept(error);
    }
  }

  /** The caller was told `unknown`; a row that is there after all is published, so that it does not stay forever. */
  async #dispatchOnceKnown(departure: Departure, row: NewOperation): Promise<void> {
    const outcome = await this.#deps.recorder.acceptUntilKnown(row);
    if (typeof outcome === 'object') this.#deps.dispatcher.dispatch(dispatchOf(departure));
    else this.#deps.dispatcher.giveBack(departure.record);
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
        throw goneFailure(null);
      case 'expired':
        if (departure.plan.onExpiry === 'FAIL') throw expiredFailure(departure.plan, null);
        // A reply that came between the timer and this line has ended the wait itself: it is the answer.
        if (!call.beginPromotion()) return this.#awaitEnd(departure, call, publish);
        return this.#deps.promoter.promote(departure, call, publish);
    }
  }
}

function goneFailure(operationId: string | null): Failure {
  const more = operationId === null ? {} : { operationId };
  return new Failure('CALL_CANCELLED', 'the caller went away before there was an answer', {
    delivery: 'unknown',
    ...more,
  });
}
