// The effects of a worker: a line of its journal with marks in memory, and behind marks in PostgreSQL a row that is
// written in the transaction of the mark. The row has no key of its own: what is made twice stands there twice.
import {
  type CommandContext,
  type DeduplicationStore,
  MemoryDeduplication,
  PostgresDeduplication,
  type PostgresTransaction,
  silentLogger,
} from '@sluice/worker';
import pg from 'pg';
import type { JournalWriter } from './journal.ts';
import type { WorkerSettings } from './worker-process.ts';

export type Context = CommandContext<PostgresTransaction | null>;

export interface Effects {
  readonly deduplication: DeduplicationStore<PostgresTransaction | null>;
  make(call: string, context: Context): Promise<void>;
  close(): Promise<void>;
}

export function openEffects(settings: WorkerSettings, journal: JournalWriter): Effects {
  if (settings.databaseUrl === null) return openJournalEffects(settings, journal);
  return openStoredEffects(settings.databaseUrl);
}

function openJournalEffects({ name }: WorkerSettings, journal: JournalWriter): Effects {
  return {
    deduplication: new MemoryDeduplication(),
    make: async (call, { operationId }) => {
      journal.write({ kind: 'effect', worker: name, id: operationId ?? '', call, atMs: Date.now() });
    },
    close: async () => undefined,
  };
}

function openStoredEffects(databaseUrl: string): Effects {
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 16 });
  // Connections that break while nobody uses them are not the worker's end.
  pool.on('error', () => undefined);
  return {
    deduplication: new PostgresDeduplication({ pool, logger: silentLogger }),
    make: async (call, { operationId, transaction }) => {
      if (transaction === null) throw new Error('no transaction to make the effect in');
      await transaction.query('insert into faults_effect (operation_id, call) values ($1, $2)', [operationId, call]);
    },
    close: () => pool.end(),
  };
}
