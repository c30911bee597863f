/** The servers that a gateway works with, or what stands in for them inside the process. */
import { readFile } from 'node:fs/promises';
import type { Channel } from './channel/channel.ts';
import { createMemoryChannel } from './channel/memory.ts';
import { MemoryBroker } from './channel/memory-broker.ts';
import { assertTopicsDiffer, type OwnTopics } from './channel/own-topics.ts';
import type { Config } from './config.ts';
import type { Contract } from './contract/contract.ts';
import { createResultCheck } from './contract/result-check.ts';
import { createFold } from './operations/fold.ts';
import type { Clock } from './runtime/clock.ts';
import type { Logger } from './runtime/log.ts';
import type { Metrics } from './runtime/metrics.ts';
import { createStore, type Store } from './store/store.ts';

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
  readonly topics: OwnTopics;
  readonly broker: MemoryBroker | null;
}

/** Opens store and channel. Throws where waiting cannot help: a folder in use, a wrong password, a topic that cannot serve. */
export async function openStack(config: Config, bootId: string, contract: Contract, tools: Tools): Promise<Stack> {
  const embedded = config.kafka.brokers.length === 0;
  const replyTopic = replyTopicOf(config, bootId);
  const { retentionMs } = config.operations;
  const checkResult = createResultCheck(contract.commands);
  const topics = ownTopicsOf(config, replyTopic);
  assertTopicsDiffer(topicsOnKafka(config), commandTopicsOf(contract));
  const store = await createStore(
    {
      ...config.store,
      bootId,
      replyTopic,
      lifecycleEvents: config.operations.lifecycleEvents,
      // A page of a list is an answer, over gRPC one message.
      maxPageBytes: config.grpc.maxResultBytes,
      pgliteImageFile: tools.pgliteImageFile ?? null,
    },
    { ...tools, fold: createFold({ retentionMs, checkResult }) },
  );
  if (!embedded) {
    return { store, channel: await openKafka(config, bootId, contract, topics, tools), topics, broker: null };
  }
  const broker = new MemoryBroker({ clock: tools.clock });
  const channel = createMemoryChannel({
    broker,
    ...topics,
    replyPartitions: 1,
    commandPartitions: Math.min(config.kafka.commandTopicPartitions, MAX_EMBEDDED_PARTITIONS),
    maxResultBytes: config.operations.maxResultBytes,
    logger: tools.logger,
  });
  return { store, channel, topics, broker };
}

/** Positions in a log that dies with its process mean nothing to the next one: there each boot has a topic of its own. */
export function replyTopicOf({ kafka }: Config, bootId: string): string {
  const replies = qualify(kafka.namespace, kafka.topics.replies);
  return kafka.brokers.length === 0 ? `${replies}.${bootId}` : replies;
}

/** What is told apart by name: a config that works embedded and is wrong with Kafka is told of before it gets there. */
export function topicsOnKafka(config: Config): OwnTopics {
  const { namespace, topics } = config.kafka;
  return ownTopicsOf(config, qualify(namespace, topics.replies));
}

async function openKafka(
  config: Config,
  bootId: string,
  contract: Contract,
  topics: OwnTopics,
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
      ...topics,
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

export function commandTopicsOf(contract: Pick<Contract, 'commands'>): readonly string[] {
  return [...new Set([...contract.commands.values()].map(({ policy }) => policy.topic))];
}

function ownTopicsOf({ kafka, operations }: Config, replyTopic: string): OwnTopics {
  const { namespace, topics } = kafka;
  return {
    replyTopic,
    deadLetterTopic: qualify(namespace, topics.deadLetters),
    controlTopic: qualify(namespace, topics.control),
    eventsTopic: operations.lifecycleEvents ? qualify(namespace, topics.events) : null,
  };
}
