/** The folders in the order of the path, each given its ports. `stack.ts` opens what they stand on; `gateway.ts` runs it. */
import type { Channel } from './channel/channel.ts';
import { createResealCommand, createSealCommand } from './channel/envelope.ts';
import {
  cancellationRecord,
  deadLetterOfCommand,
  deadLetterOfReply,
  lifecycleEvent,
  rehomedReply,
  withoutValue,
} from './channel/own-records.ts';
import type { OwnTopics } from './channel/own-topics.ts';
import type { Chores } from './chores/chores.ts';
import { createChores } from './chores/create-chores.ts';
import type { OwedRecordForms } from './chores/ports.ts';
import type { Config } from './config.ts';
import type { Contract } from './contract/contract.ts';
import { Waiters } from './delivery/waiters.ts';
import { AnnouncedChanges } from './operations/announced-changes.ts';
import { AwaitedCalls } from './operations/calls/awaited-calls.ts';
import { KeyedCalls } from './operations/calls/keyed-calls.ts';
import { Promoter } from './operations/calls/promote.ts';
import type { Operation } from './operations/operation.ts';
import { Operations } from './operations/operations.ts';
import { ChangeWriter } from './operations/outbox/change-writer.ts';
import { Dispatcher } from './operations/outbox/dispatch.ts';
import { DispatchMarks } from './operations/outbox/dispatch-marks.ts';
import { Recorder } from './operations/outbox/record.ts';
import { Administrator } from './operations/resource/administration.ts';
import { cancelOperation } from './operations/resource/cancel.ts';
import { CancellationTeller } from './operations/resource/cancellation-teller.ts';
import { type RedriveDeps, redriveOperation } from './operations/resource/redrive.ts';
import { Resource } from './operations/resource/resource.ts';
import { type ForwardedForms, Forwarder } from './replies/forwarder.ts';
import { ReplyLeases } from './replies/leases.ts';
import { ReplyLoop } from './replies/reply-loop.ts';
import { Settler } from './replies/settler.ts';
import { TopicWatch } from './replies/topic-watch.ts';
import { IdSource } from './runtime/ids.ts';
import { isLoopback } from './runtime/loopback.ts';
import type { Tools } from './stack.ts';
import type { Store } from './store/store.ts';

/** Of one transaction, in rows or replies: what the database takes in one go without holding others up. */
const TRANSACTION = Object.freeze({ maxItems: 500, maxBytes: 8 * 1024 * 1024 });
const REREAD_MS = 1000;
/** For so long a command that is on the log is not said to be: its reply mostly comes meanwhile and says more. */
const MARK_DELAY_MS = 50;
/** On the embedded database everybody waits for a chore's statement, so it is small there, and a purge rests behind it. */
const CHORE_STEPS = Object.freeze({
  embedded: { maxBatch: 200, purgePauseMs: 50 },
  server: { maxBatch: Number.POSITIVE_INFINITY, purgePauseMs: 5 },
});

export interface Core {
  readonly operations: Operations;
  readonly resource: Resource;
  readonly administration: Administrator;
  readonly calls: AwaitedCalls;
  readonly waiters: Waiters;
  readonly recorder: Recorder;
  readonly dispatcher: Dispatcher;
  readonly teller: CancellationTeller;
  readonly changeWriter: ChangeWriter;
  readonly settler: Settler;
  readonly forwarder: Forwarder;
  readonly loop: ReplyLoop;
  readonly leases: ReplyLeases;
  readonly chores: Chores;
}

export interface CoreDeps extends Tools {
  readonly bootId: string;
  readonly store: Store;
  readonly channel: Channel;
  readonly topics: OwnTopics;
  readonly contract: Pick<Contract, 'commands'>;
  readonly longestTimeoutMs: number;
}

/** operations ⇄ replies: the two halves of the path, joined by the calls that wait and the rows that are kept; and chores. */
export function wireCore(config: Config, deps: CoreDeps): Core {
  const { bootId, store, channel, topics, clock, metrics, logger } = deps;
  const bounds = config.operations;
  // The leases measure the database's clock; until the first heartbeat this machine's is taken for it.
  const nowMs = (): number => clock.wallMs() + leases.clockOffsetMs;
  const source = config.http.publicUrl ?? `sluice://${config.kafka.namespace || 'default'}`;
  const forms = createForms(topics, source, nowMs);
  const calls = new AwaitedCalls({
    maxOpenCalls: bounds.maxOpenCalls,
    maxOpenBytes: bounds.maxOpenBytes,
    maxRecordedCalls: bounds.maxPromotedCalls,
  });
  const waiters = new Waiters(store, { maxWaiters: bounds.maxWaiters, rereadMs: REREAD_MS }, { clock, logger });
  const changes = new AnnouncedChanges(store, (operations) => waiters.wake(operations));
  const pending = { maxPendingItems: bounds.maxPendingAccepts, maxPendingBytes: bounds.maxPendingAcceptBytes };
  const recorder = new Recorder(store, { ...TRANSACTION, ...pending }, { clock, logger });
  // A change is of a command that is being published, so there are no more of them.
  const changeBounds = { maxBatch: TRANSACTION.maxItems, maxPending: bounds.maxUnpublished };
  const changeWriter = new ChangeWriter(changes, changeBounds, { clock, logger });
  const marks = new DispatchMarks(changeWriter, { delayMs: MARK_DELAY_MS }, { clock });
  const dispatcher = new Dispatcher(
    {
      maxPending: bounds.maxUnpublished,
      maxPendingBytes: bounds.maxUnpublishedBytes,
      maxPendingPerTopic: bounds.maxUnpublishedPerTopic,
    },
    { bootId, publisher: channel.publisher, changeWriter, marks, outbox: store, clock, nowMs, logger },
  );
  const promoter = new Promoter({ bootId, recorder, dispatcher, calls, logger });
  const onLeaseDoubt = (): void => leases.doubt();
  const settler = new Settler(
    { ...TRANSACTION, gatherMs: bounds.settleGatherMs },
    {
      changes,
      calls,
      marks,
      onLeaseDoubt,
      isAnyAwaited: () => waiters.count > 0,
      clock,
      logger,
      metrics,
    },
  );
  const forwarder = new Forwarder(
    { maxPending: bounds.maxPendingForwards },
    { sender: channel.sender, forms: forms.ofReplies, clock, logger, metrics },
  );
  const queue = { maxItems: bounds.maxPendingSettlements, maxBytes: bounds.maxPendingSettlementBytes };
  const loop = new ReplyLoop(
    { bootId, queue },
    { calls, settler, forwarder, source: channel.replies, clock, nowMs, logger, metrics },
  );
  promoter.heldReplies = loop;
  const reading = { store, source: channel.replies, loop, clock, logger };
  const watch = new TopicWatch({ ...reading, metrics });
  const leases = new ReplyLeases({ bootId, lingerMs: deps.longestTimeoutMs, ...config.leases }, { ...reading, watch });
  const { maxBatch, purgePauseMs } = config.store.databaseUrl === null ? CHORE_STEPS.embedded : CHORE_STEPS.server;
  const chores = createChores(
    {
      ...config.chores,
      batchSize: Math.min(config.chores.batchSize, maxBatch),
      purgePauseMs,
      bootId,
      heartbeatMs: config.leases.heartbeatMs,
      instanceLeaseMs: config.leases.leaseMs,
    },
    {
      lease: store,
      outbox: store,
      due: store,
      owed: store,
      retention: store,
      unreconciled: store,
      changes,
      dispatcher,
      reseal: createResealCommand({ replyTopic: channel.replies.topic }),
      replyLog: channel.replies,
      workers: channel.workers,
      sender: channel.sender,
      forms: forms.ofOperations,
      nowMs,
      clock,
      metrics,
      logger,
    },
  );
  const teller = new CancellationTeller({
    sender: channel.sender,
    recordOf: forms.ofOperations.cancellation,
    clearCancellations: (operationIds) => store.clearCancellations(operationIds),
    maxPending: bounds.maxPendingForwards,
    clock,
    logger,
  });
  const cancelling = { bootId, changes, dispatcher, teller, nowMs };
  const redriving: RedriveDeps = {
    bootId,
    changes,
    takeUp: (operationIds) => chores.takeUp(operationIds),
    nowMs,
    timeoutOf: (command) => deps.contract.commands.get(command)?.policy.timeoutMs ?? null,
  };
  const ids = new IdSource(nowMs);
  const operations = new Operations({
    bootId,
    clock,
    nowMs,
    nextId: () => ids.next(),
    seal: createSealCommand({ source, replyTopic: channel.replies.topic }),
    publisher: channel.publisher,
    leases,
    calls,
    recorder,
    promoter,
    dispatcher,
    waits: waiters,
    keys: new KeyedCalls(store, {
      maxBatch: TRANSACTION.maxItems,
      maxPendingLookUps: bounds.maxPendingAccepts,
      maxJoined: bounds.maxJoinedCalls,
    }),
    onGone: (operationId) => teller.tellUnrecorded(operationId),
    onOrdered: () => chores.hurry(),
  });
  const actions = {
    cancel: (operation: Operation) => cancelOperation(operation, cancelling),
    redrive: (operation: Operation) => redriveOperation(operation, redriving),
  };
  const administration = new Administrator({ reads: store, ...actions });
  const isLocal = isLoopback(config.http.host) && isLoopback(config.grpc.host);
  const resource = new Resource(
    {
      retentionMs: bounds.retentionMs,
      listAnonymous: chooseByReach(bounds.listAnonymous, isLocal),
      adminAnonymous: chooseByReach(bounds.adminAnonymous, isLocal),
    },
    { reads: store, waits: waiters, ...actions, nowMs },
  );
  metrics.gauge('sluice_open_calls', 'Calls that wait for their reply.', () => calls.openCalls);
  metrics.gauge('sluice_waiters', 'Requests that wait for recorded operations.', () => waiters.count);
  metrics.gauge(
    'sluice_unpublished_operations',
    'Recorded commands that the broker does not have yet.',
    () => dispatcher.pending,
  );
  return {
    operations,
    resource,
    administration,
    calls,
    waiters,
    recorder,
    dispatcher,
    teller,
    changeWriter,
    settler,
    forwarder,
    loop,
    leases,
    chores,
  };
}

interface Forms {
  readonly ofReplies: ForwardedForms;
  readonly ofOperations: OwedRecordForms;
}

/** The records that Sluice writes to topics of its own. */
function createForms(topics: OwnTopics, source: string, nowMs: () => number): Forms {
  const { replyTopic, deadLetterTopic, controlTopic, eventsTopic } = topics;
  return {
    ofReplies: {
      rehomed: (reply, homePartition) => rehomedReply(reply.raw, replyTopic, homePartition, reply.position),
      deadLetter: (reply) => deadLetterOfReply(reply, deadLetterTopic),
      withoutValue,
    },
    ofOperations: {
      deadLetter: (letter) => deadLetterOfCommand(letter, deadLetterTopic),
      withoutValue,
      cancellation: (operationId) => cancellationRecord(operationId, { controlTopic, source, nowMs: nowMs() }),
      // Nothing is owed to the topic where there is none.
      lifecycleEvent: (event) => lifecycleEvent(event, { eventsTopic: eventsTopic ?? '', source }),
    },
  };
}

/** Whether only this machine can reach the edges decides what an anonymous caller may do, unless the config says. */
function chooseByReach(said: 'auto' | 'true' | 'false', isLocal: boolean): boolean {
  return said === 'auto' ? isLocal : said === 'true';
}
