import type { ChangeHints } from '../delivery/ports.ts';
import type { HeartbeatResult, LeaseStore } from '../replies/ports.ts';
import type { ChangeNotices } from './change-notices.ts';
import { ChoresLeaseStore } from './chores-lease-store.ts';
import { DueOperationStore } from './due-operations-store.ts';
import { KnownOperations } from './known-operations.ts';
import { DatabaseLeaseStore } from './lease-store.ts';
import { OperationChangeStore } from './operation-changes.ts';
import { OperationInsertStore } from './operation-inserts.ts';
import { OperationReadStore } from './operation-reads.ts';
import { OutboxStore } from './outbox-store.ts';
import { OwedRecordStore } from './owed-record-store.ts';
import type { DatabaseLanes, Store, StoreDeps } from './store.ts';

export interface StoreParts {
  readonly replyTopic: string;
  readonly lifecycleEvents: boolean;
  /** Null where nobody else can listen: on the embedded database. */
  readonly notices: ChangeNotices | null;
  readonly hints: ChangeHints;
  /** Open operations that are remembered as they were written last: these are settled without reading them. */
  readonly knownOperations: number;
  /** Of a page of a list and of a batch of owed events, whose results and errors may be long; one is always read. */
  readonly maxPageBytes: number;
}

/** The store on databases whose migrations are applied. */
export function createStoreOn(lanes: DatabaseLanes, parts: StoreParts, deps: StoreDeps): Store {
  const { replyTopic, lifecycleEvents: owesEvents, notices, hints } = parts;
  const known = new KnownOperations(parts.knownOperations);
  const inserts = new OperationInsertStore(lanes.operations, { replyTopic, owesEvents }, known);
  const changes = new OperationChangeStore(lanes.operations, { replyTopic, owesEvents, notices }, { ...deps, known });
  const reads = new OperationReadStore(lanes.operations, parts);
  const outbox = new OutboxStore(lanes.operations, changes, deps.clock);
  const due = new DueOperationStore(lanes.operations, replyTopic);
  const owed = new OwedRecordStore(lanes.operations, parts);
  const leases = new DatabaseLeaseStore(lanes.leases, deps.clock);
  const chores = new ChoresLeaseStore(lanes.leases);
  return {
    insert: (operations) => inserts.insert(operations),
    promote: (operations, lease) => inserts.promote(operations, lease),
    commit: (batch, move) => changes.commit(batch, move),

    read: (ids) => reads.read(ids),
    readByKeys: (keys) => reads.readByKeys(keys),
    readEvents: (operationId, afterNumber, limit) => reads.readEvents(operationId, afterNumber, limit),
    list: (query) => reads.list(query),

    claimAbandoned: (bootId, bounds) => outbox.claimAbandoned(bootId, bounds),
    listClaimed: (bootId, options) => outbox.listClaimed(bootId, options),
    loadClaimed: (bootId, operationIds) => outbox.loadClaimed(bootId, operationIds),
    giveBack: (bootId, rows) => outbox.giveBack(bootId, rows),
    restart: (bootId) => outbox.restart(bootId),

    ensure: (topic, starts) => leases.ensure(topic, starts),
    heartbeat: (beat) => heartbeat(leases, notices, beat),
    take: (claim) => leases.take(claim),
    release: (topic, bootId, partitions) => leases.release(topic, bootId, partitions),
    listLeases: (topic) => leases.listLeases(topic),
    listOpenAt: (partition, limit) => leases.listOpenAt(partition, limit),
    resetPosition: (topic, proof, nextOffset) => leases.resetPosition(topic, proof, nextOffset),
    retire: (topic, bootId) => leases.retire(topic, bootId),

    hold: (bootId, leaseMs) => chores.hold(bootId, leaseMs),
    letGo: (bootId) => chores.letGo(bootId),

    nowMs: () => due.nowMs(),
    readPositions: () => due.readPositions(),
    listExpirable: (untilMs, limit) => due.listExpirable(untilMs, limit),
    listUnsendable: (limit) => due.listUnsendable(limit),
    listSilent: (untilMs, limit, afterId) => due.listSilent(untilMs, limit, afterId),
    listUnreconciled: (query) => due.listUnreconciled(query),
    countUnreconciled: (limit) => due.countUnreconciled(limit),

    listOwedDeadLetters: (limit) => owed.listOwedDeadLetters(limit),
    clearDeadLetters: (operationIds) => owed.clearDeadLetters(operationIds),
    listOwedCancellations: (options) => owed.listOwedCancellations(options),
    clearCancellations: (operationIds) => owed.clearCancellations(operationIds),
    listOwedEvents: (limit) => owed.listOwedEvents(limit),
    clearEvents: (events) => owed.clearEvents(events),
    purge: (afterId, limit) => owed.purge(afterId, limit),

    hints,
    degraded: () => lanes.operations.health() ?? lanes.leases.health(),
    close: async () => {
      await hints.stop();
      await Promise.all([lanes.operations.close(), lanes.leases.close()]);
    },
  };
}

/** The list of those who live says whether a notification would be heard. */
async function heartbeat(
  leases: LeaseStore,
  notices: ChangeNotices | null,
  beat: Parameters<LeaseStore['heartbeat']>[0],
): Promise<HeartbeatResult> {
  const result = await leases.heartbeat(beat);
  if (notices !== null) notices.notifyOthers = result.liveInstances.some((bootId) => bootId !== beat.bootId);
  return result;
}
