import type { PostgresClient, PostgresResult } from './postgres-client.ts';
import { isContest } from './postgres-errors.ts';

/**
 * The transaction of one command, for its handler: what is written with it is committed together with the mark and the
 * stored reply, or not at all. It is begun, committed and rolled back by the store, never by the handler; a savepoint of
 * the handler's own is allowed.
 */
export interface PostgresTransaction<Client extends PostgresClient = PostgresClient> {
  /** One statement, its parameters as `$1`, `$2`, … Rejects once the command is answered. */
  // biome-ignore lint/suspicious/noExplicitAny: whoever wrote the statement knows its columns
  query<Row = any>(text: string, params?: readonly unknown[]): Promise<{ rows: Row[]; rowCount: number | null }>;
  /**
   * The connection itself, for a query builder or an ORM. It goes to others afterwards: use it only until the handler
   * ends, and never end the transaction with it or release it.
   */
  readonly client: Client;
}

export interface OpenTransaction<Client extends PostgresClient> {
  readonly transaction: PostgresTransaction<Client>;
  /** Shuts the door: a handler that goes on past its deadline must not write into another's transaction. */
  close(): void;
  /** A deadlock or a failed serialization that a statement met, whatever the handler made of it. */
  contest(): unknown;
}

export function openTransaction<Client extends PostgresClient>(client: Client): OpenTransaction<Client> {
  let isOpen = true;
  let contest: unknown;
  const query = async (text: string, params: readonly unknown[] = []): Promise<PostgresResult> => {
    if (!isOpen) throw new Error('the transaction of this command is over');
    try {
      return await client.query(text, [...params]);
    } catch (error) {
      if (isContest(error)) contest = error;
      throw error;
    }
  };
  const close = () => {
    isOpen = false;
  };
  return { transaction: { query, client }, close, contest: () => contest };
}
