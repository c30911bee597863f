import type { RecordSender, ResealCommand } from '../operations/channel-ports.ts';
import type { Outbox } from '../operations/outbox/outbox-port.ts';
import type { OperationChanges } from '../operations/store-ports.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Logger } from '../runtime/log.ts';
import type { Metrics } from '../runtime/metrics.ts';
import { Calm } from './calm.ts';
import { Cancellations } from './cancellations.ts';
import type { Chore, ChoreCounters } from './chore.ts';
import { Chores } from './chores.ts';
import { DeadLetters } from './dead-letters.ts';
import { Expiry } from './expiry.ts';
import { Lifecycle } from './lifecycle.ts';
import { OwedSender } from './owed-sender.ts';
import { OwnRows } from './own-rows.ts';
import type {
  ChoresLease,
  DueOperations,
  OwedRecordForms,
  OwedRecords,
  ReplyLog,
  Retention,
  Unreconciled,
  WorkerProgress,
} from './ports.ts';
import { Reconciliation } from './reconciliation.ts';
import { Redrive } from './redrive.ts';
import { Relay } from './relay.ts';
import { Purge } from './retention.ts';
import { type CommandDispatcher, Uptake } from './uptake.ts';
import { Watermark } from './watermark.ts';
import { WorkerPositions } from './worker-positions.ts';

/** The first three and `purgeIntervalMs` are the group `chores` of the config. */
export interface CreateChoresOptions {
  readonly intervalMs: number;
  readonly leaseMs: number;
  /** Operations that one step takes. */
  readonly batchSize: number;
  readonly purgeIntervalMs: number;
  /** Between two batches of a purge, at least. */
  readonly purgePauseMs: number;
  readonly bootId: string;
  /** How often an instance looks for rows that it has claimed and lost: the rhythm of its lease heartbeat. */
  readonly heartbeatMs: number;
  /** So late a dead instance is known to be dead. */
  readonly instanceLeaseMs: number;
}

export interface ChoresDeps {
  readonly lease: ChoresLease;
  readonly outbox: Outbox;
  readonly due: DueOperations;
  readonly owed: OwedRecords;
  readonly retention: Retention;
  readonly unreconciled: Unreconciled;
  readonly changes: OperationChanges;
  readonly dispatcher: CommandDispatcher;
  readonly reseal: ResealCommand;
  readonly replyLog: ReplyLog;
  readonly workers: WorkerProgress;
  readonly sender: RecordSender;
  readonly forms: OwedRecordForms;
  /** Database time as far as this instance knows it, Unix ms. */
  readonly nowMs: () => number;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly logger: Logger;
}

/** Makes the chores of one instance; `start` and `stop` are theirs. */
export function createChores(options: CreateChoresOptions, deps: ChoresDeps): Chores {
  const counters: ChoreCounters = {
    done: deps.metrics.counter('sluice_chore_items_total', 'What the chores have done, by chore.', ['chore']),
    refused: deps.metrics.counter(
      'sluice_own_records_refused_total',
      'Records of Sluice that their topic refused for good and that were dropped, by chore.',
      ['chore'],
    ),
  };
  const uptake = new Uptake({ ...deps, bootId: options.bootId });
  const calm = new Calm({ periodMs: options.instanceLeaseMs }, deps);
  const ownRows = new OwnRows(
    { ...options, everyMs: options.heartbeatMs },
    { ...deps, uptake, done: counters.done.bind('own-rows') },
  );
  const ofHolder = [
    ...createCommandChores(options, deps, { uptake, calm }, counters),
    ...createOwedChores(options, deps, counters),
    new Purge(
      { batchSize: options.batchSize, everyMs: options.purgeIntervalMs, minPauseMs: options.purgePauseMs },
      { ...deps, done: counters.done.bind('purge') },
    ),
    new Reconciliation(deps),
  ];
  return new Chores(options, { ofHolder, ofEach: [ownRows] }, { ...deps, uptake, calm });
}

/** What becomes of commands: published, sent again, expired. */
function createCommandChores(
  options: CreateChoresOptions,
  deps: ChoresDeps,
  { uptake, calm }: { readonly uptake: Uptake; readonly calm: Calm },
  { done }: ChoreCounters,
): Chore[] {
  const { bootId, batchSize, intervalMs: everyMs } = options;
  const { due, replyLog, workers, clock } = deps;
  const watermark = new Watermark({ everyMs }, { due, log: replyLog, clock });
  const positions = new WorkerPositions(workers, deps);
  return [
    new Relay({ bootId, batchSize, everyMs }, { ...deps, uptake, calm, done: done.bind('relay') }),
    watermark,
    new Expiry({ batchSize, everyMs }, { ...deps, watermark, done: done.bind('expiry') }),
    new Redrive({ bootId, batchSize, everyMs }, { ...deps, watermark, positions, uptake, done: done.bind('redrive') }),
  ];
}

/** What is owed to topics of ours. */
function createOwedChores(options: CreateChoresOptions, deps: ChoresDeps, counters: ChoreCounters): Chore[] {
  const owed = { batchSize: options.batchSize, everyMs: options.intervalMs };
  const sender = new OwedSender({ ...deps, counters });
  const depsOf = (name: string) => ({ ...deps, sender, done: counters.done.bind(name) });
  return [
    new DeadLetters(owed, depsOf('dead-letters')),
    new Cancellations(owed, depsOf('cancellations')),
    new Lifecycle(owed, depsOf('lifecycle')),
  ];
}
