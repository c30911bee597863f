import { DatabaseSync } from 'node:sqlite';

/** Another process works in the folder. */
export class FolderLockedError extends Error {
  override readonly name = 'FolderLockedError';
}

const SQLITE_BUSY = 5;

/**
 * Locks a folder to this process by an exclusive SQLite lock on the file `<folder>.lock`: it is the system's, so a kill
 * releases it and nothing stale is left behind. Throws `FolderLockedError`. The returned function unlocks.
 *
 * Two processes that open the same PGlite folder lose data in silence; hence no way around this lock.
 */
export function lockFolder(folder: string): () => void {
  let holder: DatabaseSync | null = null;
  try {
    holder = new DatabaseSync(`${folder}.lock`, { timeout: 0 });
    holder.exec('PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE');
  } catch (error) {
    holder?.close();
    if ((error as { errcode?: unknown }).errcode !== SQLITE_BUSY) throw error;
    throw new FolderLockedError(
      `the data folder ${folder} is in use by another process; stop it, give this one a DATA_DIR of its own, ` +
        'or let both share a PostgreSQL server by DATABASE_URL',
    );
  }
  const held = holder;
  return () => held.close();
}
