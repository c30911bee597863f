// A worker on a bus in memory, with a clock that a test moves: commands go in, replies are read as callers would.
import { decodeText, encodeText, readTextHeader, replyPartitionHeaders, toTextMap } from '../../src/headers.ts';
import { silentLogger } from '../../src/log.ts';
import { MemoryTransport } from '../../src/memory-transport.ts';
import type { HeaderList, IncomingRecord, OutgoingRecord, WorkerTransport } from '../../src/transport.ts';
import { createWorker, type Worker } from '../../src/worker.ts';
import type { WorkerOptions } from '../../src/worker-options.ts';
import { ManualClock, turn } from './manual-clock.ts';

export const METHOD = 'shop.v1.Shop/Buy';
export const TOPIC = 'shop.v1.Shop.Buy';
export const REPLIES = 'sluice.replies';

export interface SeenReply {
  readonly id: string;
  readonly kind: string;
  readonly code: string | undefined;
  readonly value: unknown;
  readonly headers: ReadonlyMap<string, string>;
}

export interface Bench {
  readonly clock: ManualClock;
  readonly bus: MemoryTransport;
  readonly worker: Worker;
  send(command: CommandText): Promise<void>;
  /** As the gateway tells of it. */
  cancel(operationId: string): Promise<void>;
  /** In the order of the reply topic. */
  replies(): SeenReply[];
  committed(): bigint;
}

export interface CommandText {
  readonly id: string;
  readonly key?: string | null;
  readonly value?: unknown;
  readonly type?: string;
  readonly topic?: string;
  readonly deadlineMs?: number;
  readonly oneWay?: boolean;
  readonly headers?: Readonly<Record<string, string>>;
}

export function createBench(options: Partial<WorkerOptions> = {}, given?: MemoryTransport): Bench {
  const clock = new ManualClock();
  const bus = given ?? new MemoryTransport({ clock });
  const transport: WorkerTransport = options.transport ?? bus;
  const worker = createWorker({ group: 'shop', clock, logger: silentLogger, ...options, transport });
  return {
    clock,
    bus,
    worker,
    async send(command) {
      await bus.send([toRecord(command)]);
      await turn();
    },
    async cancel(operationId) {
      await bus.send([toControlRecord(operationId)]);
      await turn();
    },
    replies: () => bus.records(REPLIES).map(readReply),
    committed: () => bus.committed('shop', TOPIC),
  };
}

export function toRecord(command: CommandText): OutgoingRecord {
  const texts: Record<string, string | undefined> = {
    ce_id: command.id,
    ce_type: command.type ?? TOPIC,
    ce_expirytime: command.deadlineMs === undefined ? undefined : new Date(command.deadlineMs).toISOString(),
    'content-type': 'application/json',
    kafka_correlationId: `${command.id}.correlation`,
    kafka_replyTopic: command.oneWay ? undefined : REPLIES,
    ...command.headers,
  };
  const headers: HeaderList = Object.entries(texts).flatMap(([name, text]) =>
    text === undefined ? [] : [[name, encodeText(text)] as const],
  );
  return {
    topic: command.topic ?? TOPIC,
    key: command.key === null ? null : encodeText(command.key ?? command.id),
    value: encodeText(JSON.stringify(command.value ?? {})),
    headers: command.oneWay ? headers : [...headers, ...replyPartitionHeaders(0)],
  };
}

export function toControlRecord(operationId: string, topic = 'sluice.control'): OutgoingRecord {
  const texts = {
    ce_specversion: '1.0',
    ce_id: `control-of-${operationId}`,
    ce_source: 'sluice://default',
    ce_type: 'sluice.operation.cancelled',
    ce_subject: operationId,
    ce_time: '2026-01-01T00:00:00.000Z',
  };
  const headers = Object.entries(texts).map(([name, text]) => [name, encodeText(text)] as const);
  return { topic, key: encodeText(operationId), value: new Uint8Array(), headers };
}

export function readReply(record: IncomingRecord): SeenReply {
  const headers = toTextMap(record.headers);
  return {
    id: (readTextHeader(record.headers, 'kafka_correlationId') ?? '').replace('.correlation', ''),
    kind: headers.get('sluice-kind') ?? 'result',
    code: headers.get('sluice-code'),
    value: record.value === null ? null : JSON.parse(decodeText(record.value)),
    headers,
  };
}

/** A handler that a test ends by hand, command by command. */
export function createGate<Value>() {
  const open = new Map<string, PromiseWithResolvers<Value>>();
  const started: string[] = [];
  return {
    started,
    /** Call it in a handler. */
    wait(name: string): Promise<Value> {
      started.push(name);
      const gate = Promise.withResolvers<Value>();
      open.set(name, gate);
      return gate.promise;
    },
    async release(name: string, value: Value): Promise<void> {
      open.get(name)?.resolve(value);
      await turn();
    },
    async fail(name: string, error: unknown): Promise<void> {
      open.get(name)?.reject(error);
      await turn();
    },
  };
}
