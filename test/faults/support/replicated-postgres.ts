// A primary and its standby behind one address, which can be made to fail over again and again: each time the standby takes
// the primary's place, and the address, and has a standby of its own made.
import { openRelay, type Relay } from '../../support/postgres-relay.ts';
import { createDatabase, type PostgresServer, query, startPostgres } from '../../support/postgres-server.ts';
import {
  commitSynchronously,
  PRIMARY_SETTINGS,
  type StandbyServer,
  startStandby,
} from '../../support/postgres-standby.ts';

export class ReplicatedPostgres {
  readonly isSynchronous: boolean;
  readonly #address: Relay;
  #primary: PostgresServer;
  #leadsTo: string;
  #standby: StandbyServer | null = null;
  /** On which the standby gets the log. */
  #stream: Relay | null = null;

  private constructor(primary: PostgresServer, address: Relay, isSynchronous: boolean) {
    this.#primary = primary;
    this.#leadsTo = primary.url;
    this.#address = address;
    this.isSynchronous = isSynchronous;
  }

  static async start(isSynchronous: boolean): Promise<ReplicatedPostgres> {
    const primary = await startPostgres({ settings: PRIMARY_SETTINGS });
    const pair = new ReplicatedPostgres(primary, await openRelay(primary.url), isSynchronous);
    try {
      await pair.addStandby();
      return pair;
    } catch (error) {
      await pair.stop();
      throw error;
    }
  }

  /** What a run takes for its database: whoever is primary, by the one address. */
  get server(): PostgresServer {
    const { url } = this.#address;
    return { ...this.#primary, url, createDatabase: (name) => createDatabase(url, name) };
  }

  /** Also under load. */
  async addStandby(): Promise<void> {
    this.#stream = await openRelay(this.#primary.url);
    this.#standby = await startStandby(this.#primary, this.#stream.url);
    if (this.isSynchronous) await commitSynchronously(this.#primary);
  }

  /** From here on the standby is behind. */
  async cutStream(): Promise<void> {
    await this.#stream?.close();
    this.#stream = null;
  }

  kill(): Promise<void> {
    return this.#primary.kill();
  }

  /** After `kill`: the address leads to the standby, which takes no writes yet. */
  pointToStandby(): void {
    if (this.#standby) this.#lead(this.#standby);
  }

  /** Connections to a standby go on when it is promoted. */
  #lead(to: PostgresServer): void {
    if (this.#leadsTo !== to.url) this.#address.pointTo(to.url);
    this.#leadsTo = to.url;
  }

  /**
   * After `kill`: the standby becomes the primary and has the address. Resolves with the operations that the old one had and
   * the new one has not; those that come meanwhile count for it, where the address is its already.
   */
  async failOver(database: string): Promise<readonly string[]> {
    const [old, next] = [this.#primary, this.#standby];
    if (next === null) throw new Error('there is no standby to fail over to');
    await next.promote();
    const known = new Set(await listOperations(next, database));
    this.#lead(next);
    this.#primary = next;
    this.#standby = null;
    await this.cutStream();
    try {
      // Nobody else knows its own port.
      await old.restart();
      return (await listOperations(old, database)).filter((id) => !known.has(id));
    } finally {
      await old.stop();
    }
  }

  async stop(): Promise<void> {
    await Promise.all([this.#address.close(), this.cutStream(), this.#primary.stop(), this.#standby?.stop()]);
  }
}

async function listOperations({ url }: PostgresServer, database: string): Promise<string[]> {
  const { rows } = await query(urlOf(url, database), 'select id::text from sluice.operation');
  return rows.map(({ id }) => String(id));
}

function urlOf(serverUrl: string, database: string): string {
  const url = new URL(serverUrl);
  url.pathname = `/${database}`;
  return url.href;
}
