// Counts the settled operations of a target in its database: a 202 is only half of a recorded call.
import pg from 'pg';
import { waitUntil } from '../test/support/wait.ts';

/** A count reads the whole table, so it is not asked for more often; the end of a run is known this exactly. */
const intervalMs = 20;
const timeoutMs = 60_000;

export class SettledCount {
  readonly #client: pg.Client;
  readonly #statement: string;
  #expected = 0;

  private constructor(client: pg.Client, statement: string) {
    this.#client = client;
    this.#statement = statement;
  }

  static async open(databaseUrl: string, statement: string): Promise<SettledCount> {
    const client = new pg.Client({
      connectionString: databaseUrl,
      connectionTimeoutMillis: 5_000,
      query_timeout: 10_000,
    });
    await client.connect();
    return new SettledCount(client, statement);
  }

  /** Resolves once so many more are settled than before; throws where that takes more than a minute. */
  async reachMore(calls: number): Promise<void> {
    this.#expected += calls;
    let settled = 0;
    const what = `${this.#expected} operations settled`;
    try {
      await waitUntil({ what, timeoutMs, intervalMs }, async () => {
        const { rows } = await this.#client.query<{ settled: number }>(this.#statement);
        settled = rows[0]!.settled;
        return settled === this.#expected;
      });
    } catch (error) {
      throw new Error(`${what}: ${settled} were`, { cause: error });
    }
  }

  close(): Promise<void> {
    return this.#client.end();
  }
}
