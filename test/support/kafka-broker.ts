// One real Kafka broker (KRaft, single node, 127.0.0.1) for tests and benchmarks.
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Kafka, logLevel } from 'kafkajs';
import { type SupervisedProcess, startSupervised } from './supervised-process.ts';
import { findFreePorts, waitUntil } from './wait.ts';

const run = promisify(execFile);
const pomFile = fileURLToPath(new URL('../kafka/pom.xml', import.meta.url));
const startTimeoutMs = 60_000;
const resolveTimeoutMs = 300_000;

export interface KafkaBrokerOptions {
  /** Lines that are added to server.properties and win over ours. */
  properties?: Record<string, string>;
  /** False: return as soon as metadata is answered, before the offsets topic of consumer groups exists. */
  warmUp?: boolean;
}

/** One broker. `kill`, `pause`, `resume` and `restart` keep its port and its data; `stop` removes both. */
export interface KafkaBroker {
  brokers: string[];
  pid(): number;
  /** SIGKILL; resolves when the process is gone. */
  kill(): Promise<void>;
  /** SIGSTOP: connections stay open and nothing answers. */
  pause(): void;
  /** SIGCONT. */
  resume(): void;
  /** Kills it where it still runs, starts it again, resolves when it answers. */
  restart(): Promise<void>;
  /** Kills it and removes its data. May be called twice. */
  stop(): Promise<void>;
}

/** Where the jars are kept, outside the work tree. */
function kafkaLibFolder(): string {
  const cache = process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache');
  return process.env['SLUICE_KAFKA_LIB'] || join(cache, 'sluice', 'kafka-4.1.0', 'lib');
}

/** Resolves the jars with Maven unless they are there. Throws with Maven's words where it cannot. */
export async function resolveKafkaJars(): Promise<string> {
  const folder = kafkaLibFolder();
  if (hasJars(folder)) return folder;
  // Into a folder beside it and then renamed: a run that is killed half-way leaves no half set of jars.
  const partial = `${folder}.${process.pid}`;
  mkdirSync(partial, { recursive: true });
  const goal = ['-B', '-q', '-f', pomFile, 'dependency:copy-dependencies', `-DoutputDirectory=${partial}`];
  try {
    await run('mvn', goal, { timeout: resolveTimeoutMs });
    renameSync(partial, folder);
  } catch (error) {
    // Another run may have put them there meanwhile.
    if (!hasJars(folder)) throw error;
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
  return folder;
}

function hasJars(folder: string): boolean {
  return existsSync(folder) && readdirSync(folder).some((name) => name.startsWith('kafka_2.13-4.1.0'));
}

/** Starts a broker of its own and resolves when it answers (about 3 s). Needs Java 17, and Maven the first time. */
export async function startKafkaBroker(options: KafkaBrokerOptions = {}): Promise<KafkaBroker> {
  const lib = await resolveKafkaJars();
  const folder = await mkdtemp(join(tmpdir(), 'sluice-kafka-'));
  const [port, controllerPort] = await findFreePorts(2);
  const propertiesFile = join(folder, 'server.properties');
  const brokers = [`127.0.0.1:${port}`];
  let child: SupervisedProcess | undefined;

  const start = async () => {
    child = await startSupervised({
      command: ['java', ...jvmFlags, '-cp', join(lib, '*'), 'kafka.Kafka', propertiesFile],
      logFile: join(folder, 'broker.log'),
      folder,
      cwd: folder,
    });
    await waitUntilKafkaAnswers(brokers, child, { timeoutMs: startTimeoutMs, warmUp: options.warmUp ?? true });
  };
  const stop = async () => {
    await child?.end();
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    await writeFile(propertiesFile, renderProperties(folder, port!, controllerPort!, options.properties));
    await formatStorage(lib, propertiesFile);
    await start();
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    brokers,
    pid: () => child!.pid,
    kill: () => child!.end(),
    pause: () => child!.signal('SIGSTOP'),
    resume: () => child!.signal('SIGCONT'),
    restart: async () => {
      await child!.end();
      await start();
    },
    stop,
  };
}

const jvmFlags = [
  '-Xms256m',
  '-Xmx512m',
  '-XX:+UseSerialGC',
  '-XX:TieredStopAtLevel=1',
  '-Xshare:auto',
  '-Djava.awt.headless=true',
  '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn',
];

function renderProperties(
  folder: string,
  port: number,
  controllerPort: number,
  more: Record<string, string> = {},
): string {
  const properties: Record<string, string> = {
    'process.roles': 'broker,controller',
    'node.id': '1',
    'controller.quorum.voters': `1@127.0.0.1:${controllerPort}`,
    'controller.listener.names': 'CONTROLLER',
    listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${port}`,
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'log.dirs': join(folder, 'data'),
    'auto.create.topics.enable': 'false',
    'offsets.topic.num.partitions': '4',
    'offsets.topic.replication.factor': '1',
    'transaction.state.log.num.partitions': '4',
    'transaction.state.log.replication.factor': '1',
    'transaction.state.log.min.isr': '1',
    'share.coordinator.state.topic.num.partitions': '1',
    'share.coordinator.state.topic.replication.factor': '1',
    'share.coordinator.state.topic.min.isr': '1',
    'default.replication.factor': '1',
    'group.initial.rebalance.delay.ms': '0',
    'group.min.session.timeout.ms': '500',
    'log.cleaner.dedupe.buffer.size': String(16 * 1024 * 1024),
    // After kill -9 the old registration of this node must lapse before the new one is let in.
    'broker.session.timeout.ms': '3000',
    'broker.heartbeat.interval.ms': '500',
    ...more,
  };
  return Object.entries(properties)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('');
}

async function formatStorage(lib: string, propertiesFile: string): Promise<void> {
  // A cluster id is 16 bytes in base64url, joined with = because one in 64 begins with a hyphen.
  const clusterId = Buffer.from(crypto.randomUUID().replaceAll('-', ''), 'hex').toString('base64url');
  const options = [`--cluster-id=${clusterId}`, '-c', propertiesFile];
  const command = ['-cp', join(lib, '*'), 'kafka.tools.StorageTool', 'format', ...options];
  await run('java', ['-Xmx128m', '-XX:TieredStopAtLevel=1', '-Xshare:auto', ...command], { timeout: startTimeoutMs });
}

/** Resolves when the broker answers metadata and, with `warmUp`, has its offsets topic. Throws when the process ends. */
export async function waitUntilKafkaAnswers(
  brokers: string[],
  child: SupervisedProcess,
  options: { timeoutMs: number; warmUp: boolean },
): Promise<void> {
  const kafka = new Kafka({
    brokers,
    clientId: 'test-start',
    logLevel: logLevel.NOTHING,
    connectionTimeout: 1_000,
    requestTimeout: 5_000,
    retry: { retries: 0 },
  });
  const check = () => {
    if (!child.isAlive()) throw new Error(`the Kafka broker ended at start:\n${child.readLogTail()}`);
  };
  await waitUntil({ what: `Kafka broker on ${brokers[0]}`, timeoutMs: options.timeoutMs, check }, async () => {
    const admin = kafka.admin();
    try {
      await admin.connect();
      const { brokers: known } = await admin.describeCluster();
      if (known.length === 0) return false;
      // Finding a coordinator creates the offsets topic, at which a fresh broker answers with an error first.
      if (options.warmUp) await admin.describeGroups(['test-start']);
      return true;
    } finally {
      await admin.disconnect();
    }
  });
}
