import type { Queryable } from './database.ts';
import { loadStatement } from './statements.ts';
import { RefusedDatabaseError } from './store-error.ts';

const READ_MODE = loadStatement('read-commit-mode');

/** Throws where the server answers a commit before it is on disk: what was promised then dies with the server. */
export async function refuseAsyncCommit(database: Queryable): Promise<void> {
  const [row] = await database.query<{ mode: string }>(READ_MODE, []);
  if (row?.mode !== 'off') return;
  throw new RefusedDatabaseError(
    'the database has synchronous_commit = off: a crash of it may lose operations that callers were promised. ' +
      'Set it to on for this database or user, or accept that by DATABASE_ALLOW_ASYNC_COMMIT=true',
  );
}
