// A worker without an SDK that breaks every rule for replies but one: the right reply is among what it sends. Several
// instances: what is sent to the wrong partition, or to none, must still reach the caller who waits elsewhere.
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { kafkaTransport, silentLogger, type WorkerTransport } from '@sluice/worker';
import { type RawCommand, startRawWorker } from '../../support/raw-worker.ts';
import type { Call } from '../support/calls.ts';
import type { Cluster } from '../support/cluster.ts';
import { JournalWriter } from '../support/journal.ts';
import type { Load } from '../support/load.ts';
import type { Outcome, Scenario, Stage } from '../support/scenario.ts';
import { runUnderLoad } from '../support/under-load.ts';
import { noteSeen } from '../support/work.ts';

const PARTITIONS = 8;
/** Past the wait of the command (5 s) and of `Prefer: wait=1`. */
const LATE_MS = 6_000;

interface Sending {
  readonly headers?: Readonly<Record<string, string>>;
  readonly value: string;
  /** Undefined: home; null: none is given. */
  readonly partition?: number | null;
}

const right = (call: string): Sending => ({ value: JSON.stringify({ call, worker: 'raw' }) });
const kind = (name: string, value: string): Sending => ({ headers: { 'sluice-kind': name }, value });

/** What is sent for a call, in this order. */
const MANNERS: Readonly<Record<string, (call: string, home: number) => readonly Sending[]>> = {
  well: (call) => [right(call)],
  twice: (call) => [right(call), right(call), right('another result of the same command')],
  late: (call) => [right(call)],
  disordered: (call) => [
    kind('progress', '{"percent":50}'),
    kind('accepted', ''),
    right(call),
    kind('progress', '{"percent":75}'),
    kind('accepted', ''),
    kind('error', '{"code":"INTERNAL","message":"after its own result"}'),
  ],
  strangely: (call, home) => [
    { ...right('of nobody'), headers: { kafka_correlationId: `${inventId()}.${home}.r` } },
    { ...right('of nobody'), headers: { kafka_correlationId: `${inventId()}.${home}.u0123456789abcdef` } },
    right(call),
  ],
  garbling: (call) => [
    { value: '\u0000\u0001 not JSON', headers: { kafka_correlationId: '{"what":"is this"}' } },
    { value: '', headers: { kafka_correlationId: 'a'.repeat(4_000), 'sluice-kind': 'nonsense' } },
    right(call),
  ],
  astray: (call, home) => [{ ...right(call), partition: (home + 1 + Math.floor(Math.random() * 7)) % PARTITIONS }],
  anywhere: (call) => [{ ...right(call), partition: null }],
  unreadable: () => [{ value: '{"call": "half' }],
};
const NAMES = Object.keys(MANNERS);

export const replyBadly: Scenario = {
  name: 'reply-badly',
  title: 'a worker that replies twice, late, out of order, with unknown ids, garbage, to wrong partitions and to none',
  async run(stage: Stage): Promise<Outcome> {
    const short = stage.form === 'short';
    const transport = kafkaTransport({ brokers: stage.servers.broker.brokers, maxWaitMs: 100, logger: silentLogger });
    const timers = new Set<NodeJS.Timeout>();
    try {
      return await runUnderLoad(stage, {
        cluster: { gateways: 3, workers: [], leaseMs: 4_000 },
        load: {
          methods: ['DoBadly'],
          inFlight: 64,
          callsPerSecond: 80,
          patienceMs: 15_000,
          extra: (number) => ({ manner: mannerOf(number) }),
        },
        async fault(cluster, load) {
          await startBadWorker(cluster, transport, timers);
          while (load.calls.length < (short ? 600 : 6_000)) await pause(250);
          return { faults: `${NAMES.length} manners in turn`, notes: tellManners(load) };
        },
        mayEnd: ({ state, error }, call) => isUnreadable(call) && state === 'failed' && error?.code === 'REPLY_INVALID',
        mayFail: isUnreadable,
      });
    } finally {
      for (const timer of timers) clearTimeout(timer);
      await transport.close();
    }
  },
};

/** By sevens, so that manners and styles, which take turns too, meet in every pair. */
function mannerOf(number: number): string {
  return NAMES[Math.floor(number / 7) % NAMES.length]!;
}

function numberOf({ name }: Call): number {
  return Number(name.split('-')[1]);
}

function isUnreadable(call: Call): boolean {
  return mannerOf(numberOf(call)) === 'unreadable';
}

/** How many calls without a row, which no look-up of a status can save, were answered in each manner. */
function tellManners({ calls }: Load): string[] {
  const late = calls.filter((call) => call.style === 'plain' && call.key === null && call.ended === 'acknowledged');
  const counts = new Map<string, number>();
  for (const call of late) counts.set(mannerOf(numberOf(call)), (counts.get(mannerOf(numberOf(call))) ?? 0) + 1);
  return [
    `plain calls that became 202: ${[...counts].map(([manner, count]) => `${count} ${manner}`).join(', ') || 'none'}`,
  ];
}

async function startBadWorker(
  cluster: Cluster,
  transport: WorkerTransport,
  timers: Set<NodeJS.Timeout>,
): Promise<void> {
  const journal = new JournalWriter(cluster.folder, 'raw');
  const topics = [`${cluster.namespace}.faults.v1.Work.DoBadly`];
  await startRawWorker(transport, { topics, group: `${cluster.namespace}.raw` }, (command) => {
    noteSeen(command.record, 'raw', journal);
    const { manner = 'well', call = '' } = JSON.parse(command.text) as { manner?: string; call?: string };
    const home = Number(command.header('kafka_replyPartition'));
    const sendings = (MANNERS[manner] ?? MANNERS['well']!)(call, home);
    if (manner !== 'late') return void sendAll(transport, command, home, sendings);
    const timer = setTimeout(() => {
      timers.delete(timer);
      sendAll(transport, command, home, sendings);
    }, LATE_MS);
    timers.add(timer);
  });
}

function sendAll(transport: WorkerTransport, command: RawCommand, home: number, sendings: readonly Sending[]): void {
  const records = sendings.map(({ value, headers, partition }) => ({
    topic: command.header('kafka_replyTopic') ?? '',
    ...(partition === null ? {} : { partition: partition ?? home }),
    key: null,
    value: Buffer.from(value),
    headers: Object.entries({ kafka_correlationId: command.header('kafka_correlationId') ?? '', ...headers }).map(
      ([name, text]) => [name, Buffer.from(text)] as const,
    ),
  }));
  // In this order also across calls of `send`: one at a time.
  void records.reduce((before, record) => before.then(() => transport.send([record])), Promise.resolve());
}

/** A UUIDv7 that was never an operation. */
function inventId(): string {
  const hex = Date.now().toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}-7${randomUUID().slice(15)}`;
}
