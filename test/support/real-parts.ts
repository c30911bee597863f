// How tests get the real Kafka and the real PostgreSQL of a run (`test/global-setup.ts` starts them, once).
// A file that imports nothing of this, directly or through others, costs a run no broker and no database.
import { randomBytes } from 'node:crypto';
import { describe, inject } from 'vitest';
import { createDatabase } from './postgres-server.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** Addresses with commas between them, or null where there is no Kafka in this run. */
    kafkaBrokers: string | null;
    /** URL of the maintenance database, or null where there is no PostgreSQL in this run. */
    postgresUrl: string | null;
    /** Why a part is missing, by part. */
    missingParts: { kafka?: string; postgres?: string };
    /** Short name of this run; part of all that it creates on servers which outlive it. */
    runName: string;
  }
  interface TaskMeta {
    /** Why a test was not run, for the reporter. */
    notRun?: string;
  }
}

/** Broker addresses, or null where the run has no Kafka. */
export function realKafka(): string[] | null {
  return inject('kafkaBrokers')?.split(',') ?? null;
}

/** URL of the server's maintenance database, or null where the run has no PostgreSQL. See `createTestDatabase`. */
export function realPostgres(): string | null {
  return inject('postgresUrl');
}

/** A name for topics, groups and namespaces that no other test has. */
export function uniqueName(prefix: string): string {
  return `${prefix}-${inject('runName')}-${randomBytes(4).toString('hex')}`;
}

/** A new empty database for one test file; returns its URL. Dropped with the server, or at the end of the run. */
export async function createTestDatabase(): Promise<string> {
  const url = realPostgres();
  if (url === null) throw new Error('no PostgreSQL in this run: use describeWithPostgres');
  return createDatabase(url, `sluice_test_${inject('runName')}_${randomBytes(4).toString('hex')}`);
}

/** `describe` with a real Kafka; skipped, with the reason reported, where there is none. Connect only in hooks and tests. */
export function describeWithKafka(name: string, body: (brokers: string[]) => void): void {
  describeWith(name, ['kafka'], () => body(realKafka() ?? []));
}

/** `describe` with a real PostgreSQL; skipped, with the reason reported, where there is none. Connect only in hooks and tests. */
export function describeWithPostgres(name: string, body: (url: string) => void): void {
  describeWith(name, ['postgres'], () => body(realPostgres() ?? ''));
}

/** `describe` with both; skipped, with the reason reported, where one is missing. Connect only in hooks and tests. */
export function describeWithBoth(
  name: string,
  body: (parts: { brokers: string[]; postgresUrl: string }) => void,
): void {
  describeWith(name, ['kafka', 'postgres'], () =>
    body({ brokers: realKafka() ?? [], postgresUrl: realPostgres() ?? '' }),
  );
}

function describeWith(name: string, parts: ('kafka' | 'postgres')[], body: () => void): void {
  const missing = inject('missingParts');
  const reasons = parts.flatMap((part) => missing[part] ?? []);
  if (reasons.length === 0) describe(name, body);
  else describe(name, { skip: true, meta: { notRun: reasons.join('; ') } }, body);
}
