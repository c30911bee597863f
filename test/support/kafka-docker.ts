// The same Kafka from its image, where there is a Docker engine and no Java or Maven.
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { waitUntilKafkaAnswers } from './kafka-broker.ts';
import { startSupervised } from './supervised-process.ts';
import { findFreePorts } from './wait.ts';

const run = promisify(execFile);
const image = 'apache/kafka:4.1.0';
/** The first start may have to fetch the image. */
const startTimeoutMs = 180_000;

/** Throws when no engine answers within five seconds. */
export async function assertDockerAnswers(): Promise<void> {
  await run('docker', ['info', '--format', '{{.ServerVersion}}'], { timeout: 5_000 });
}

/** Starts a broker in a container that is removed with it. */
export async function startKafkaInDocker(): Promise<{ brokers: string[]; stop(): Promise<void> }> {
  const [port] = await findFreePorts(1);
  const name = `sluice-kafka-${port}`;
  const folder = await mkdtemp(join(tmpdir(), 'sluice-kafka-'));
  const environment = Object.entries(renderEnvironment(port!)).flatMap(([key, value]) => ['-e', `${key}=${value}`]);
  const child = await startSupervised({
    command: ['docker', 'run', '--rm', '--name', name, '-p', `127.0.0.1:${port}:9092`, ...environment, image],
    logFile: join(folder, 'broker.log'),
    folder,
    endWith: `docker rm -f ${name}; kill -KILL "$child"`,
  });
  const brokers = [`127.0.0.1:${port}`];
  const stop = async () => {
    await run('docker', ['rm', '-f', name]).catch(() => undefined);
    await child.end();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await waitUntilKafkaAnswers(brokers, child, { timeoutMs: startTimeoutMs, warmUp: true });
  } catch (error) {
    await stop();
    throw error;
  }
  return { brokers, stop };
}

function renderEnvironment(port: number): Record<string, string> {
  return {
    KAFKA_NODE_ID: '1',
    KAFKA_PROCESS_ROLES: 'broker,controller',
    KAFKA_LISTENERS: 'PLAINTEXT://:9092,CONTROLLER://:9093',
    KAFKA_ADVERTISED_LISTENERS: `PLAINTEXT://127.0.0.1:${port}`,
    KAFKA_CONTROLLER_LISTENER_NAMES: 'CONTROLLER',
    KAFKA_LISTENER_SECURITY_PROTOCOL_MAP: 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    KAFKA_CONTROLLER_QUORUM_VOTERS: '1@localhost:9093',
    KAFKA_AUTO_CREATE_TOPICS_ENABLE: 'false',
    KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS: '4',
    KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR: '1',
    KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS: '4',
    KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR: '1',
    KAFKA_TRANSACTION_STATE_LOG_MIN_ISR: '1',
    KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS: '0',
    KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS: '500',
  };
}
