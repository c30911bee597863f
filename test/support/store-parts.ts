// What tests make stores and their rows of. Without vitest, so that processes of their own can use it too.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { createFold } from '../../src/operations/fold.ts';
import type { NewOperation, OperationEvent, OperationTerms } from '../../src/operations/store-ports.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { silentLogger } from '../../src/runtime/log.ts';
import { NO_HINTS } from '../../src/store/change-hints.ts';
import { createStoreOn, type StoreParts } from '../../src/store/create-store.ts';
import type { Database } from '../../src/store/database.ts';
import type { Store, StoreConfig, StoreDeps } from '../../src/store/store.ts';
import { newOperationId } from './operations.ts';

export const REPLY_TOPIC = 'sluice.replies';
export const RETENTION_MS = 24 * 60 * 60 * 1000;

const pglite = new URL('../../node_modules/@electric-sql/pglite/package.json', import.meta.url);
const { version } = JSON.parse(readFileSync(pglite, 'utf8')) as { version: string };

/** An empty data folder, made by the first test that needs one: a new one takes seconds each time. */
export const PGLITE_IMAGE_FILE = fileURLToPath(
  new URL(`../../node_modules/.cache/sluice/pglite-${version}.tar`, import.meta.url),
);

/** Embedded, in memory; tests change what they need. */
export const TEST_STORE_CONFIG: StoreConfig = {
  databaseUrl: null,
  listenUrl: null,
  allowAsyncCommit: false,
  dataDir: ':memory:',
  poolSize: 6,
  connectTimeoutMs: 5_000,
  queryTimeoutMs: 15_000,
  idleInTransactionTimeoutMs: 4_000,
  maxWaitingQueries: 1_000,
  replyTopic: REPLY_TOPIC,
  bootId: 'boot1',
  lifecycleEvents: false,
  knownOperations: 1_000,
  maxPageBytes: 1024 * 1024,
  pgliteImageFile: PGLITE_IMAGE_FILE,
};

export const testStoreDeps = {
  fold: createFold({ retentionMs: RETENTION_MS, checkResult: () => null }),
  clock: systemClock,
  logger: silentLogger,
};

/** A store on a database that is open and migrated. */
export function openStoreOn(
  database: Database,
  parts: Partial<StoreParts> = {},
  deps: StoreDeps = testStoreDeps,
): Store {
  const whole = {
    replyTopic: REPLY_TOPIC,
    lifecycleEvents: false,
    notices: null,
    hints: NO_HINTS,
    knownOperations: 1_000,
    maxPageBytes: TEST_STORE_CONFIG.maxPageBytes,
    ...parts,
  };
  return createStoreOn({ operations: database, leases: database }, whole, deps);
}

export const TEST_TERMS: OperationTerms = {
  maxAttempts: 1,
  redeliverAfterMs: null,
  workerGroup: null,
  ordered: false,
  endsAtAck: false,
};

export function aNewOperation(parts: Partial<NewOperation> = {}): NewOperation {
  const nowMs = Date.now();
  return {
    id: newOperationId(),
    command: 'test.v1.Test/Do',
    principal: 'alice',
    state: 'accepted',
    createdAtMs: nowMs,
    updatedAtMs: parts.createdAtMs ?? nowMs,
    deadlineMs: nowMs + 60_000,
    progress: null,
    record: { topic: 'test.v1.Test.Do', key: Buffer.from('key'), value: Buffer.from('{}'), headers: [['ce_id', '1']] },
    published: null,
    claimedBy: 'boot1',
    maybeSent: false,
    replyPartition: 0,
    idempotency: null,
    terms: TEST_TERMS,
    ...parts,
  };
}

export function anEvent(type: OperationEvent['type'], parts: Partial<OperationEvent> = {}): OperationEvent {
  return {
    type,
    atMs: Date.now(),
    position: null,
    progress: null,
    result: null,
    error: null,
    published: null,
    by: null,
    afterAttempt: null,
    deadlineMs: null,
    ...parts,
  };
}

/** An event that a reply at this offset said. */
export function aReplyEvent(
  type: OperationEvent['type'],
  offset: bigint,
  parts: Partial<OperationEvent> & { readonly partition?: number } = {},
): OperationEvent {
  const { partition = 0, ...rest } = parts;
  return anEvent(type, { position: { topic: REPLY_TOPIC, partition, offset }, ...rest });
}

export function aSuccess(
  offset: bigint,
  value: Uint8Array | null = new TextEncoder().encode('{"ok":true}'),
): OperationEvent {
  const result = { value, contentType: 'application/json', httpStatus: 201, headers: [['x-a', '1']] as const };
  return aReplyEvent('succeeded', offset, { result });
}
