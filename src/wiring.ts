/** The folders in the order of the path, each given its ports. The only file that knows them all; `gateway.ts` runs it. */
import { readFile } from 'node:fs/promises';
import type { Channel } from './channel/channel.ts';
import { createSealCommand } from './channel/envelope.ts';
import { createMemoryChannel } from './channel/memory.ts';
import { MemoryBroker } from './channel/memory-broker.ts';
import { isLoopback } from './config/rules.ts';
import type { Config } from './config.ts';
import type { Contract } from './contract/contract.ts';
import { createResultCheck } from './contract/result-check.ts';
import { Waiters } from './delivery/waiters.ts';
import { AwaitedCalls } from './operations/awaited-calls.ts';
import { ChangeWriter } from './operations/changes.ts';
import { Dispatcher } from './operations/dispatch.ts';
import { createFold } from './operations/fold.ts';
import { Operations } from './operations/operations.ts';
import { Promoter } from './operations/promote.ts';
import { Recorder } from './operations/record.ts';
import { Resource } from './operations/resource.ts';
import { ReplyLeases } from './replies/leases.ts';
import { ReplyLoop } from './replies/reply-loop.ts';
import { Settler } from './replies/settler.ts';
import type { Clock } from './runtime/clock.ts';
import { IdSource } from './runtime/ids.ts';
import type { Logger } from './runtime/log.ts';
import type { Metrics } from './runtime/metrics.ts';
import { createStore, type Store } from './store/store.ts';

/** Of one transaction, in rows or replies: what the database takes in one go without holding others up. */
const TRANSACTION = Object.freeze({ maxItems: 500, maxBytes: 8 * 1024 * 1024 });
const REREAD_MS = 1000;
/** One process gains nothing from more, and each keeps records. */
const MAX_EMBEDDED_PARTITIONS = 4;
/** Gateways may all be down so long before the reply topic forgets what came meanwhile. */
const ALLOWED_DOWNTIME_MS = 3_600_000;

/** What every folder is given. */
export interface Tools {
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly logger: Logger;
  /** A prepared data folder for the embedded database; tests share one. */
  readonly pgliteImageFile?: string;
}

/** The servers, or what stands in for them inside the process. */
export interface Stack {
  readonly store: Store;
  readonly channel: Channel;
  readonly broker: MemoryBroker | null;
}

/** Opens store and channel. Throws where waiting cannot help: a folder in use, a wrong password, a topic that cannot serve. */
export async function openStack(config: Config, bootId: string, contract: Contract, tools: Tools): Promise<Stack> {
  const embedded = config.kafka.brokers.length === 0;
  const replies = qualify(config.kafka.namespace, config.kafka.topics.replies);
  // Positions in a log that dies with its process mean nothing to the next one: each boot has a topic of its own.
  const replyTopic = embedded ? `${replies}.${bootId}` : replies;
  const { retentionMs } = config.operations;
  const checkResult = createResultCheck(contract.commands);
  const store = await createStore(
    {
      ...config.store,
      replyTopic,
      pgliteImageFile: tools.pgliteImageFile ?? null,
    },
    { ...tools, fold: createFold({ retentionMs, checkResult }) },
  );
  if (!embedded) return { store, channel: await openKafka(config, bootId, contract, replyTopic, tools), broker: null };
  const broker = new MemoryBroker({ clock: tools.clock });
  const channel = createMemoryChannel({
    broker,
    replyTopic,
    replyPartitions: 1,
    commandPartitions: Math.min(config.kafka.commandTopicPartitions, MAX_EMBEDDED_PARTITIONS),
    maxResultBytes: config.operations.maxResultBytes,
    logger: tools.logger,
  });
  return { store, channel, broker };
}

async function openKafka(
  config: Config,
  bootId: string,
  contract: Contract,
  replyTopic: string,
  tools: Tools,
): Promise<Channel> {
  // Loaded only where it is asked for: the embedded stack starts faster without it.
  const { createKafkaChannel } = await import('./channel/kafka.ts');
  const { kafka, operations } = config;
  return createKafkaChannel(
    {
      ...kafka,
      bootId,
      namespace: kafka.namespace === '' ? '' : `${kafka.namespace}.`,
      replyTopic,
      ssl: await readSsl(kafka.ssl),
      sasl: readSasl(kafka.sasl),
      connectTimeoutMs: kafka.publish.connectTimeoutMs,
      requestTimeoutMs: kafka.publish.requestTimeoutMs,
      maxResultBytes: operations.maxResultBytes,
      minReplyRetentionMs: findLongestTimeoutMs(contract) + ALLOWED_DOWNTIME_MS,
    },
    tools,
  );
}

export function findLongestTimeoutMs(contract: Contract): number {
  return Math.max(...[...contract.commands.values()].map(({ policy }) => policy.timeoutMs));
}

/** Throws where a file cannot be read. */
async function readSsl({ enabled, caFile, certFile, keyFile }: Config['kafka']['ssl']) {
  if (!enabled) return false;
  const read = async (name: 'ca' | 'cert' | 'key', file: string | null) =>
    file === null ? {} : { [name]: await readFile(file, 'utf8') };
  const [ca, cert, key] = await Promise.all([read('ca', caFile), read('cert', certFile), read('key', keyFile)]);
  return { ...ca, ...cert, ...key };
}

/** The config's rules hold that user name and password are there where a mechanism is. */
function readSasl({ mechanism, username, password }: Config['kafka']['sasl']) {
  return mechanism === null ? null : { mechanism, username: username ?? '', password: password ?? '' };
}

function qualify(namespace: string, name: string): string {
  return namespace === '' ? name : `${namespace}.${name}`;
}

export interface Core {
  readonly operations: Operations;
  readonly resource: Resource;
  readonly calls: AwaitedCalls;
  readonly waiters: Waiters;
  readonly recorder: Recorder;
  readonly dispatcher: Dispatcher;
  readonly changes: ChangeWriter;
  readonly settler: Settler;
  readonly loop: ReplyLoop;
  readonly leases: ReplyLeases;
}

export interface CoreDeps extends Tools {
  readonly bootId: string;
  readonly store: Store;
  readonly channel: Channel;
  readonly longestTimeoutMs: number;
}

/** operations ⇄ replies: the two halves of the path, joined by the calls that wait and the rows that are kept. */
export function wireCore(config: Config, deps: CoreDeps): Core {
  const { bootId, store, channel, clock, metrics, logger } = deps;
  const bounds = config.operations;
  // The leases measure the database's clock; until the first heartbeat this machine's is taken for it.
  const nowMs = (): number => clock.wallMs() + leases.clockOffsetMs;
  const calls = new AwaitedCalls({
    maxOpenCalls: bounds.maxOpenCalls,
    maxOpenBytes: bounds.maxOpenBytes,
    maxRecordedCalls: bounds.maxPromotedCalls,
  });
  const waiters = new Waiters(store, { maxWaiters: bounds.maxWaiters, rereadMs: REREAD_MS }, { clock, logger });
  const onChanged = waiters.wake.bind(waiters);
  const pending = { maxPendingItems: bounds.maxPendingAccepts, maxPendingBytes: bounds.maxPendingAcceptBytes };
  const recorder = new Recorder(store, { ...TRANSACTION, ...pending }, { clock, logger });
  // A change is of a command that is being published, so there are no more of them.
  const marks = { maxBatch: TRANSACTION.maxItems, maxPending: bounds.maxUnpublished };
  const changes = new ChangeWriter(store, { ...marks, onChanged }, { clock, logger });
  const dispatcher = new Dispatcher(
    channel.publisher,
    changes,
    { maxPending: bounds.maxUnpublished, maxPendingBytes: bounds.maxUnpublishedBytes },
    { clock, nowMs, logger },
  );
  const promoter = new Promoter({ bootId, recorder, dispatcher, calls, logger });
  const onLeaseDoubt = (partition: number): void => leases.doubt(partition);
  const settler = new Settler(TRANSACTION, {
    changes: store,
    calls,
    onSettled: onChanged,
    onLeaseDoubt,
    clock,
    logger,
    metrics,
  });
  const queue = { maxItems: bounds.maxPendingSettlements, maxBytes: bounds.maxPendingSettlementBytes };
  const loop = new ReplyLoop({ bootId, queue }, { calls, settler, nowMs, metrics });
  promoter.heldReplies = loop;
  const leases = new ReplyLeases(
    { bootId, lingerMs: deps.longestTimeoutMs, ...config.leases },
    { store, source: channel.replies, loop, clock, logger },
  );
  const source = config.http.publicUrl ?? `sluice://${config.kafka.namespace || 'default'}`;
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
  });
  const listAnonymous = mayListAnonymous(config);
  const resource = new Resource(store, waiters, { retentionMs: bounds.retentionMs, listAnonymous }, clock);
  metrics.gauge('sluice_open_calls', 'Calls that wait for their reply.', () => calls.openCalls);
  metrics.gauge('sluice_waiters', 'Requests that wait for recorded operations.', () => waiters.count);
  metrics.gauge(
    'sluice_unpublished_operations',
    'Recorded commands that the broker does not have yet.',
    () => dispatcher.pending,
  );
  return { operations, resource, calls, waiters, recorder, dispatcher, changes, settler, loop, leases };
}

/** Whether only this machine can reach the edges decides what an anonymous caller may see, unless the config says. */
function mayListAnonymous({ operations, http, grpc }: Config): boolean {
  if (operations.listAnonymous !== 'auto') return operations.listAnonymous === 'true';
  return isLoopback(http.host) && isLoopback(grpc.host);
}
