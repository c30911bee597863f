// What conformance tests of the store do and look at again and again.
import type { Operation, OperationError } from '../../src/operations/operation.ts';
import type { NewOperation, OperationEvent } from '../../src/operations/store-ports.ts';
import type { Database } from '../../src/store/database.ts';
import type { Store } from '../../src/store/store.ts';
import { aNewOperation, anEvent, REPLY_TOPIC } from './store-parts.ts';

export interface EventRow {
  number: number;
  type: string;
  late: boolean;
}

export function readEvents(database: Database, id: string): Promise<EventRow[]> {
  const sql = 'SELECT number, type, late FROM sluice.operation_event WHERE operation_id = $1::uuid ORDER BY number';
  return database.query<EventRow>(sql, [id]);
}

/** Of its history, in order. */
export async function typesOf(database: Database, id: string): Promise<string[]> {
  return (await readEvents(database, id)).map(({ type }) => type);
}

export async function readOne(store: Store, id: string) {
  const [operation] = await store.read([id]);
  return operation;
}

/** Of operations that all are inserted. */
export async function insertAll(store: Store, operations: readonly NewOperation[]): Promise<Operation[]> {
  const outcomes = await store.insert(operations);
  return outcomes.map((outcome) => {
    if (outcome.kind !== 'inserted') throw new Error(`the key is taken by ${outcome.holder.operation.id}`);
    return outcome.operation;
  });
}

/** Resolves with its id. */
export async function insertOne(store: Store, parts: Partial<NewOperation> = {}): Promise<string> {
  const operation = aNewOperation(parts);
  await insertAll(store, [operation]);
  return operation.id;
}

export const settle = (store: Store, operationId: string, ...events: OperationEvent[]) =>
  store.commit([{ operationId, events }], null);

let nextPartition = 0;

/** A partition that no other test uses, leased to this instance as its home. */
export async function leaseHome(store: Store, bootId = 'boot1') {
  const partition = nextPartition++;
  await store.ensure(REPLY_TOPIC, new Map([[partition, 100n]]));
  await store.heartbeat({ topic: REPLY_TOPIC, bootId, leaseMs: 60_000, progress: [] });
  const lease = await store.take({ topic: REPLY_TOPIC, partition, bootId, home: true, leaseMs: 60_000 });
  return { partition, fence: lease!.fence };
}

/** The read position of a leased partition, as the database has it. */
export async function positionOf(store: Store, partition: number) {
  const { leases } = await store.heartbeat({ topic: REPLY_TOPIC, bootId: 'onlooker', leaseMs: 1_000, progress: [] });
  return leases.find((lease) => lease.partition === partition)?.nextOffset;
}

/** From now on that instance lives, for a minute of the database's time. */
export async function keepAlive(store: Store, bootId: string): Promise<void> {
  await store.heartbeat({ topic: 'another', bootId, leaseMs: 60_000, progress: [] });
}

/** What the row says besides its snapshot. */
export interface OutboxFacts {
  claimed_by: string | null;
  maybe_sent: boolean;
  published_offset: bigint | null;
}

export async function readFacts(database: Database, id: string): Promise<OutboxFacts> {
  const sql = 'SELECT claimed_by, maybe_sent, published_offset FROM sluice.operation WHERE id = $1::uuid';
  const [row] = await database.query<OutboxFacts>(sql, [id]);
  return row!;
}

export const dispatchedAt = (offset: bigint, parts: Partial<OperationEvent> = {}) =>
  anEvent('dispatched', { published: { partition: 0, offset }, ...parts });

export const anError = (delivery: OperationError['delivery']): OperationError => ({
  code: 'OPERATION_EXPIRED',
  grpcCode: 'DEADLINE_EXCEEDED',
  message: 'too late',
  details: null,
  delivery,
});
