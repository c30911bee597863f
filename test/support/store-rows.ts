// What conformance tests of the store do and look at again and again.
import type { NewOperation, OperationEvent } from '../../src/operations/ports.ts';
import type { Database } from '../../src/store/database.ts';
import type { Store } from '../../src/store/store.ts';
import { aNewOperation, REPLY_TOPIC } from './store-parts.ts';

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

/** Resolves with its id. */
export async function insertOne(store: Store, parts: Partial<NewOperation> = {}): Promise<string> {
  const operation = aNewOperation(parts);
  await store.insert([operation]);
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
