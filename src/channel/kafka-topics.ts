import type { Clock } from '../runtime/clock.ts';
import type { Logger } from '../runtime/log.ts';
import { ChannelSetupError } from './channel.ts';
import type { RenewedAdmin } from './kafka-admin.ts';
import { type RefusedTopic, type TopicCatalog, type TopicFacts, TopicRefusedError } from './kafka-catalog.ts';
import type { KafkaChannelConfig } from './kafka-config.ts';
import { describeKafkaError } from './kafka-errors.ts';
import { assertTopicsDiffer, listOwnTopics, type OwnTopic, type OwnTopics } from './own-topics.ts';

const WEEK_MS = 7 * 24 * 60 * 60 * 1000;
const DAY_MS = 24 * 60 * 60 * 1000;
const CREATE_TIMEOUT_MS = 10_000;
const LOOK_AGAIN_MS = 50;
/** A contract may have hundreds of commands. */
const TOPICS_AT_ONCE = 20;

interface TopicPlan {
  readonly topic: string;
  readonly partitions: number;
  readonly settings: Readonly<Record<string, string>>;
}

export interface KafkaTopicsDeps {
  readonly admin: Pick<RenewedAdmin, 'ask'>;
  readonly catalog: Pick<TopicCatalog, 'lookUp' | 'readSettings'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** How each of our topics is made, but for the reply topic. */
const OWN_SETTINGS: Readonly<Record<OwnTopic['carries'], Readonly<Record<string, string>>>> = Object.freeze({
  // People read these, after a holiday too. Roomier than the topics that they come from: reasons are added.
  'dead letters': { 'retention.ms': String(30 * DAY_MS), 'max.message.bytes': String(2 * 1024 * 1024) },
  // Workers look back for minutes.
  cancellations: { 'retention.ms': String(DAY_MS) },
  'lifecycle events': {},
});

/**
 * Sees to the topics at start: creates what is missing where that is allowed, checks the reply topic, learns of each
 * command topic what it takes.
 *
 * Throws `ChannelSetupError` where the reply topic cannot be used. A command topic that is missing is warned of: its
 * commands alone are unavailable. Throws what kafkajs throws where the brokers cannot be asked.
 */
export async function prepareTopics(
  config: KafkaChannelConfig,
  commandTopics: readonly string[],
  deps: KafkaTopicsDeps,
): Promise<void> {
  assertTopicsDiffer(config, commandTopics);
  await prepareReplyTopic(config, deps);
  const topics = [...new Set(commandTopics)];
  for (let first = 0; first < topics.length; first += TOPICS_AT_ONCE) {
    await Promise.all(
      topics.slice(first, first + TOPICS_AT_ONCE).map((topic) => prepareCommandTopic(topic, config, deps)),
    );
  }
}

async function prepareCommandTopic(topic: string, config: KafkaChannelConfig, deps: KafkaTopicsDeps): Promise<void> {
  const plan = { topic, partitions: config.commandTopicPartitions, settings: {} };
  const problem = await prepareTopic(plan, config, deps);
  if (typeof problem === 'string') deps.logger.warn({ topic }, `${problem}; its commands fail until it is there`);
  else await deps.catalog.readSettings(topic);
}

/**
 * The same for Sluice's other topics. Returns a sentence for each that is not there and cannot be made: what it would carry
 * waits, everything else works. Throws what kafkajs throws where the brokers cannot be asked.
 */
export async function prepareOwnTopics(config: KafkaChannelConfig, deps: KafkaTopicsDeps): Promise<readonly string[]> {
  const problems = await Promise.all(listOwnTopics(config).map((topic) => prepareOwnTopic(topic, config, deps)));
  return problems.filter((problem) => problem !== null);
}

async function prepareOwnTopic(
  { topic, carries }: OwnTopic,
  config: KafkaChannelConfig,
  deps: KafkaTopicsDeps,
): Promise<string | null> {
  const settings = { 'cleanup.policy': 'delete', ...OWN_SETTINGS[carries] };
  // Events of an operation keep their order by key; the others are few and read as a whole.
  const partitions = carries === 'lifecycle events' ? config.commandTopicPartitions : 1;
  const found = await prepareTopic({ topic, partitions, settings }, config, deps);
  if (typeof found === 'string') return `${found}; ${carries} wait until it is there`;
  warnOfCompaction(topic, carries, await deps.catalog.readSettings(topic), deps.logger);
  return null;
}

function warnOfCompaction(topic: string, carries: string, settings: ReadonlyMap<string, string>, logger: Logger): void {
  const policy = settings.get('cleanup.policy') ?? 'delete';
  if (policy !== 'delete') logger.warn({ topic }, `cleanup.policy is ${policy}, expected delete: ${carries} are lost`);
}

async function prepareReplyTopic(config: KafkaChannelConfig, deps: KafkaTopicsDeps): Promise<void> {
  const settings = {
    'cleanup.policy': 'delete',
    'retention.ms': String(Math.max(WEEK_MS, config.minReplyRetentionMs)),
  };
  const found = await prepareTopic(
    { topic: config.replyTopic, partitions: config.replyPartitions, settings },
    config,
    deps,
  );
  if (typeof found === 'string') throw new ChannelSetupError([found]);
  const actual = await deps.catalog.readSettings(config.replyTopic);
  const problems = findReplyTopicProblems(config, actual, found);
  if (problems.length > 0) throw new ChannelSetupError(problems);
  for (const warning of findReplyTopicRisks(config, actual, found))
    deps.logger.warn({ topic: config.replyTopic }, warning);
}

/** What is known of the topic, or a sentence that says why it is not there. */
async function prepareTopic(
  plan: TopicPlan,
  config: KafkaChannelConfig,
  deps: KafkaTopicsDeps,
): Promise<TopicFacts | string> {
  try {
    return await deps.catalog.lookUp(plan.topic);
  } catch (error) {
    if (!(error instanceof TopicRefusedError)) throw error;
    if (error.problem === 'not_authorized') return `topic ${plan.topic}: the brokers bar this gateway from it`;
  }
  if (!config.createTopics) return `${describePlan(plan, config)}: is missing, and create_topics is off; create it`;
  try {
    await createTopic(plan, config, deps.admin);
  } catch (error) {
    if (!isRefusedCreation(error)) throw error;
    return `${describePlan(plan, config)}: is missing and could not be created (${describeKafkaError(error)}); create it`;
  }
  deps.logger.info({ topic: plan.topic, partitions: plan.partitions }, 'topic created');
  return await awaitTopic(plan.topic, deps);
}

/** The broker that is asked may not have heard yet of what the controller has just made. */
async function awaitTopic(topic: string, deps: KafkaTopicsDeps): Promise<TopicFacts> {
  const endMs = deps.clock.monotonicMs() + CREATE_TIMEOUT_MS;
  for (;;) {
    try {
      return await deps.catalog.lookUp(topic);
    } catch (error) {
      if (!(error instanceof TopicRefusedError) || deps.clock.monotonicMs() >= endMs) throw error;
    }
    await new Promise<void>((resolve) => deps.clock.setTimer(resolve, LOOK_AGAIN_MS));
  }
}

async function createTopic(
  plan: TopicPlan,
  config: KafkaChannelConfig,
  admin: KafkaTopicsDeps['admin'],
): Promise<void> {
  const configEntries = Object.entries(plan.settings).map(([name, value]) => ({ name, value }));
  const { replicationFactor } = config;
  const topic = { topic: plan.topic, numPartitions: plan.partitions, replicationFactor, configEntries };
  await admin.ask((each) => each.createTopics({ topics: [topic], timeout: CREATE_TIMEOUT_MS, waitForLeaders: true }));
}

/** As opposed to brokers that could not be asked: those are asked again. */
function isRefusedCreation(error: unknown): boolean {
  const name = (error as Error).name;
  if (name === 'KafkaJSCreateTopicError' || name === 'KafkaJSAggregateError') return true;
  return name === 'KafkaJSProtocolError' && (error as { retriable?: boolean }).retriable === false;
}

function describePlan(plan: TopicPlan, config: KafkaChannelConfig): string {
  const settings = Object.entries(plan.settings).map(([name, value]) => `, ${name}=${value}`);
  const factor = config.replicationFactor === -1 ? "the brokers' default" : config.replicationFactor;
  return `topic ${plan.topic} (partitions ${plan.partitions}, replication factor ${factor}${settings.join('')})`;
}

/** What does not work for want of topics that the brokers refuse: of the first, and how many more. Null for none. */
export function describeRefusedTopics(refused: readonly RefusedTopic[], topics: OwnTopics): string | null {
  const [first] = refused;
  if (first === undefined) return null;
  const more = refused.length - 1;
  const rest = more === 0 ? '' : `; and so it is with ${more} more ${more === 1 ? 'topic' : 'topics'}`;
  return `${first.message}: ${describeLoss(first.topic, topics)}${rest}`;
}

function describeLoss(topic: string, topics: OwnTopics): string {
  if (topic === topics.replyTopic) return 'no replies can come';
  const own = listOwnTopics(topics).find((each) => each.topic === topic);
  return own === undefined ? 'its commands are unavailable' : `${own.carries} wait until it is there`;
}

/** Settings with which replies would be lost or could not be written. */
export function findReplyTopicProblems(
  config: Pick<KafkaChannelConfig, 'replyTopic' | 'minReplyRetentionMs'>,
  settings: ReadonlyMap<string, string>,
  facts: TopicFacts,
): string[] {
  const problems: string[] = [];
  const topic = `topic ${config.replyTopic}`;
  const policy = settings.get('cleanup.policy');
  if (policy !== undefined && policy !== 'delete') {
    problems.push(`${topic}: cleanup.policy is ${policy}, expected delete: a compacted topic loses replies`);
  }
  const retentionMs = Number(settings.get('retention.ms') ?? -1);
  if (retentionMs >= 0 && retentionMs < config.minReplyRetentionMs) {
    problems.push(
      `${topic}: retention.ms is ${retentionMs}, expected at least ${config.minReplyRetentionMs}: the longest timeout of a command and the downtime allowed for`,
    );
  }
  const minInSync = Number(settings.get('min.insync.replicas') ?? 1);
  if (minInSync > facts.replicas) {
    problems.push(
      `${topic}: min.insync.replicas is ${minInSync} with ${facts.replicas} replicas: nothing can be written`,
    );
  }
  return problems;
}

/** Settings that are allowed, and cost replies when a machine is lost or slow. */
export function findReplyTopicRisks(
  config: Pick<KafkaChannelConfig, 'replyPartitions'>,
  settings: ReadonlyMap<string, string>,
  facts: TopicFacts,
): string[] {
  const risks: string[] = [];
  if (facts.partitionCount < config.replyPartitions) {
    risks.push(`it has ${facts.partitionCount} partitions, fewer than configured: so many instances at the most`);
  }
  if (facts.brokerCount > 1 && facts.replicas < 2)
    risks.push('its partitions have one replica: a lost broker loses replies');
  if (facts.replicas > 1 && Number(settings.get('min.insync.replicas') ?? 1) < 2) {
    risks.push('min.insync.replicas is 1: an acknowledged reply may be lost with one broker');
  }
  const retentionBytes = Number(settings.get('retention.bytes') ?? -1);
  if (retentionBytes >= 0)
    risks.push(`retention.bytes is ${retentionBytes}: a flood may push out replies that were not read`);
  return risks;
}
