// Runs `JavaProducer.java` with the broker's jars. Needs a JDK: a JRE cannot run a program from its source.
import { execFile, execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { resolveKafkaJars } from '../support/kafka-broker.ts';

const run = promisify(execFile);
const source = join(import.meta.dirname, 'JavaProducer.java');
const timeoutMs = 120_000;

/** Why there is none, or null where there is. */
export function whyNoJavaCompiler(): string | null {
  try {
    const modules = execFileSync('java', ['--list-modules'], { encoding: 'utf8', timeout: timeoutMs });
    return modules.includes('jdk.compiler') ? null : 'java has no compiler: a JDK is needed, this is a JRE';
  } catch {
    return 'there is no java';
  }
}

/** Throws with what Java said where a step fails. */
export async function produceWithJava(options: {
  readonly brokers: readonly string[];
  readonly topic: string;
  readonly partition: number;
  readonly correlationId: string;
  /** See `JavaProducer.java`. */
  readonly steps: readonly string[];
}): Promise<void> {
  const lib = await resolveKafkaJars();
  const flags = [
    '-Xmx256m',
    '-XX:+UseSerialGC',
    '-XX:TieredStopAtLevel=1',
    '-Dorg.slf4j.simpleLogger.defaultLogLevel=error',
  ];
  const { brokers, topic, partition, correlationId, steps } = options;
  const args = [brokers.join(','), topic, String(partition), correlationId, ...steps];
  await run('java', [...flags, '-cp', join(lib, '*'), source, ...args], { timeout: timeoutMs });
}
