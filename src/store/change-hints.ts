import pg from 'pg';
import type { ChangeHints } from '../delivery/ports.ts';
import { backoffDelays, pause } from '../runtime/backoff.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Logger } from '../runtime/log.ts';
import { Trouble } from '../runtime/trouble.ts';
import { CHANGES_CHANNEL, type ChangeNotices, readNotice } from './change-notices.ts';
import type { Queryable } from './database.ts';
import { reasonOf } from './store-error.ts';

export interface HintsOptions {
  /** `postgres://…` of a server that takes LISTEN, so not of a pooler in transaction mode. */
  readonly url: string;
  readonly bootId: string;
  readonly connectTimeoutMs: number;
  /** How often LISTEN is proved. */
  readonly proofEveryMs: number;
  /** How long a notification to ourselves may take. */
  readonly proofWithinMs: number;
}

const RECONNECT = { firstMs: 250, maxMs: 10_000 };
const KEEP_ALIVE_MS = 10_000;

/** Nobody else writes to an embedded database. */
export const NO_HINTS: ChangeHints = Object.freeze({
  start: () => undefined,
  trouble: () => null,
  stop: async () => undefined,
});

/**
 * Hears by LISTEN, on a connection of its own, what other instances have settled. A connection that looks well proves
 * nothing: it may be half open, or lead to a pooler that takes LISTEN and never passes anything on. So a notification to
 * ourselves, sent by the ordinary pool as those of changes are, has to come back every few seconds.
 */
export class PostgresChangeHints implements ChangeHints {
  readonly #options: HintsOptions;
  readonly #database: Queryable;
  readonly #notices: ChangeNotices;
  readonly #clock: Clock;
  readonly #log: Trouble;
  readonly #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #reason: string | null = 'hints of changes have not been tried yet';
  #proofs = 0;
  /** Called when the proof of that number is heard. */
  #awaited: { readonly number: number; readonly heard: () => void } | null = null;

  constructor(
    options: HintsOptions,
    deps: {
      /** The ordinary pool. */
      readonly database: Queryable;
      readonly notices: ChangeNotices;
      readonly clock: Clock;
      readonly logger: Logger;
    },
  ) {
    this.#options = options;
    this.#database = deps.database;
    this.#notices = deps.notices;
    this.#clock = deps.clock;
    const what =
      'no hints of changes come: waiting requests learn by reading once a second what other instances settle';
    this.#log = new Trouble(what, deps.logger);
  }

  start(onChanged: (operationIds: readonly string[]) => void): void {
    this.#running = this.#run(onChanged);
  }

  trouble(): string | null {
    return this.#reason;
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(onChanged: (operationIds: readonly string[]) => void): Promise<void> {
    let delays = backoffDelays(RECONNECT);
    while (!this.#stop.signal.aborted) {
      const proofsBefore = this.#proofs;
      const reason = await this.#listen(onChanged);
      if (this.#stop.signal.aborted) return;
      this.#reason = `LISTEN does not work, changes at other instances are read once a second: ${reason}`;
      this.#log.note({ reason });
      // One that had been proved more than once broke; another one may well be had at once.
      if (this.#proofs > proofsBefore + 1) delays = backoffDelays(RECONNECT);
      await pause(this.#clock, delays.next().value, this.#stop.signal);
    }
  }

  /** Until the connection is lost or proved useless. Resolves with why. */
  async #listen(onChanged: (operationIds: readonly string[]) => void): Promise<string> {
    const client = this.#createClient();
    const lost = new Promise<never>((_, reject) => {
      client.on('error', reject);
      client.on('end', () => reject(new Error('the connection for LISTEN was closed')));
    });
    // It may be lost while nobody looks.
    lost.catch(() => undefined);
    client.on('notification', ({ payload }) => this.#hear(payload ?? '', onChanged));
    try {
      return await this.#listenOn(client, lost);
    } catch (error) {
      return reasonOf(error);
    } finally {
      destroy(client);
    }
  }

  async #listenOn(client: pg.Client, lost: Promise<never>): Promise<never> {
    const { connectTimeoutMs, proofEveryMs } = this.#options;
    await this.#within(connectTimeoutMs, [client.connect(), lost], 'no connection for LISTEN');
    const listening = client.query(`LISTEN ${CHANGES_CHANNEL}`);
    await this.#within(connectTimeoutMs, [listening, lost], 'no answer to LISTEN');
    for (;;) {
      await this.#prove(lost);
      this.#reason = null;
      this.#log.end();
      await Promise.race([pause(this.#clock, proofEveryMs, this.#stop.signal), lost]);
    }
  }

  /** Throws where the notification does not come back in time. */
  async #prove(lost: Promise<never>): Promise<void> {
    const number = ++this.#proofs;
    const heard = new Promise<void>((resolve) => {
      this.#awaited = { number, heard: resolve };
    });
    const { sql, params } = this.#notices.proof(number);
    await this.#database.query(sql, params);
    const silence =
      'a notification to ourselves did not come back (LISTEN does not work through a pooler in transaction mode)';
    await this.#within(this.#options.proofWithinMs, [heard, lost], silence);
  }

  #hear(payload: string, onChanged: (operationIds: readonly string[]) => void): void {
    const notice = readNotice(payload);
    const isOwn = notice?.from === this.#options.bootId;
    if (notice?.kind === 'changed' && !isOwn) onChanged(notice.ids);
    if (notice?.kind === 'proof' && isOwn && notice.number === this.#awaited?.number) this.#awaited.heard();
  }

  /** The first answer. Throws at the bound and when stopped: a half-open connection answers nothing. */
  async #within(boundMs: number, answers: readonly Promise<unknown>[], what: string): Promise<void> {
    let cancelTimer: () => void = () => undefined;
    let onAbort: () => void = () => undefined;
    const bound = new Promise<never>((_, reject) => {
      cancelTimer = this.#clock.setTimer(() => reject(new Error(`${what} within ${boundMs} ms`)), boundMs);
      onAbort = () => reject(new Error('stopped'));
      this.#stop.signal.addEventListener('abort', onAbort, { once: true });
      if (this.#stop.signal.aborted) onAbort();
    });
    try {
      await Promise.race([...answers, bound]);
    } finally {
      cancelTimer();
      this.#stop.signal.removeEventListener('abort', onAbort);
    }
  }

  #createClient(): pg.Client {
    return new pg.Client({
      connectionString: this.#options.url,
      connectionTimeoutMillis: this.#options.connectTimeoutMs,
      keepAlive: true,
      keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
      application_name: 'sluice-listen',
    });
  }
}

/** Without a goodbye, for which a half-open connection would be waited for. */
function destroy(client: pg.Client): void {
  client.end().catch(() => undefined);
  client.connection.stream.destroy();
}
