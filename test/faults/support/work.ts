// What every worker of the fault runs does, whatever bus it stands on.
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import type { CommandContext, IncomingRecord, WorkerTransport } from '@sluice/worker';
import type { JournalWriter } from './journal.ts';

export interface WorkRequest {
  readonly call?: string;
  readonly workMs?: number;
  readonly manner?: string;
}

export interface WorkPlace<Transaction> {
  /** Of the worker. */
  readonly name: string;
  readonly folder: string;
  readonly journal: JournalWriter;
  /** Makes the effect of a call. */
  readonly make: (call: string, context: CommandContext<Transaction>) => Promise<void>;
}

export function createHandler<Transaction>(place: WorkPlace<Transaction>) {
  return async (request: WorkRequest, context: CommandContext<Transaction>): Promise<object> => {
    const call = request.call ?? '';
    await new Promise((resolve) => setTimeout(resolve, request.workMs ?? 0));
    if (request.manner === 'before_effect') dieOnce(place, call);
    await place.make(call, context);
    if (request.manner === 'after_effect') dieOnce(place, call);
    return { call, worker: place.name };
  };
}

/** Only the first worker that gets there dies of it: the file says that one did. */
function dieOnce({ name, folder, journal }: Pick<WorkPlace<never>, 'name' | 'folder' | 'journal'>, call: string): void {
  try {
    closeSync(openSync(join(folder, `died-${call}`), 'wx'));
  } catch {
    return;
  }
  journal.write({ kind: 'died', worker: name, call });
  process.kill(process.pid, 'SIGKILL');
}

/** Writes down every command record before the worker has it. */
export function watchRecords(inner: WorkerTransport, worker: string, journal: JournalWriter): WorkerTransport {
  return {
    ensureTopics: async (topics) => inner.ensureTopics?.(topics),
    subscribe: (options) =>
      inner.subscribe({
        ...options,
        onRecords: (records) => {
          for (const record of records) noteSeen(record, worker, journal);
          options.onRecords(records);
        },
      }),
    openInbox: (options) => inner.openInbox(options),
    send: (records) => inner.send(records),
    close: () => inner.close(),
  };
}

export function noteSeen(record: IncomingRecord, worker: string, journal: JournalWriter): void {
  const header = (name: string) => {
    const found = record.headers.find((each) => each[0] === name);
    return found ? Buffer.from(found[1]).toString() : '';
  };
  journal.write({
    kind: 'seen',
    worker,
    id: header('ce_id'),
    attempt: Number(header('sluice-attempt') || '1'),
    call: (JSON.parse(Buffer.from(record.value ?? []).toString()) as WorkRequest).call ?? '',
    try: header('x-try'),
    type: header('ce_type'),
    atMs: Date.now(),
  });
}
