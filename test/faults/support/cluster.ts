// What a fault run works on: one Kafka broker and one PostgreSQL for all runs, and for each run gateways and workers as
// processes of their own, in a namespace, a database and a folder that no other run has.
import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { type KafkaBroker, startKafkaBroker } from '../../support/kafka-broker.ts';
import { type PostgresServer, query, startPostgres } from '../../support/postgres-server.ts';
import { waitUntil } from '../../support/wait.ts';
import { type ConfigFile, GatewayProcess } from './gateway-process.ts';
import { type JournalLine, readJournal } from './journal.ts';
import { watchLeases } from './lease-watch.ts';
import { routeOf } from './routes.ts';
import { makeRunFolder, removeRunFolder } from './run-folder.ts';
import type { StoredEffect } from './tally.ts';
import { WorkerProcess, type WorkerSettings } from './worker-process.ts';

export const CONTRACT_BEFORE = fileURLToPath(new URL('../contract/before', import.meta.url));
export const CONTRACT_AFTER = fileURLToPath(new URL('../contract/after', import.meta.url));

/** Broker and database; every run may kill them, and leaves them running. */
export interface Servers {
  readonly broker: KafkaBroker;
  readonly postgres: PostgresServer;
  stop(): Promise<void>;
}

export async function startServers(): Promise<Servers> {
  const [broker, postgres] = await Promise.all([startKafkaBroker(), startPostgres()]);
  return {
    broker,
    postgres,
    stop: async () => {
      await Promise.all([broker.stop(), postgres.stop()]);
    },
  };
}

export interface WorkerPlan {
  readonly count: number;
  readonly methods: readonly string[];
  /** Those that the first contract has; by default all. */
  readonly warmUp?: readonly string[];
  /** Default `memory`. */
  readonly marks?: 'memory' | 'postgres';
  readonly concurrency?: number;
}

/** Most runs: one with marks in memory, one whose marks and effects are in PostgreSQL. */
export const WORKERS_OF_BOTH: readonly WorkerPlan[] = [
  { count: 1, methods: ['Do'] },
  { count: 1, methods: ['DoOnce'], marks: 'postgres' },
];

export interface ClusterPlan {
  readonly gateways: number;
  readonly workers: readonly WorkerPlan[];
  /** Over the config of every gateway, group by group. */
  readonly config?: ConfigFile;
  /** Of one gateway, in addition; an empty variable counts as absent. */
  readonly env?: (index: number) => Readonly<Record<string, string>>;
  /** What gateways use instead of the server itself: a proxy, a pooler. */
  readonly gatewayDatabaseUrl?: (databaseUrl: string) => string | Promise<string>;
  /** Where workers keep marks and effects, if not beside the operations: one that the run leaves alone. */
  readonly workerServer?: PostgresServer;
  readonly leaseMs?: number;
  readonly mayBeDegraded?: boolean;
}

const TOPIC_PARTITIONS = 4;
const SESSION_TIMEOUT_MS = 6_000;

export class Cluster {
  readonly servers: Servers;
  readonly folder: string;
  readonly namespace: string;
  readonly databaseUrl: string;
  /** Of the workers: their marks and effects. */
  readonly workerDatabaseUrl: string;
  readonly gateways: GatewayProcess[] = [];
  readonly workers: WorkerProcess[] = [];

  private constructor(servers: Servers, folder: string, namespace: string, databaseUrls: readonly [string, string]) {
    this.servers = servers;
    this.folder = folder;
    this.namespace = namespace;
    [this.databaseUrl, this.workerDatabaseUrl] = databaseUrls;
  }

  /** Resolves when every gateway is ready; whether workers have joined their group shows in the first answers. */
  static async start(servers: Servers, plan: ClusterPlan): Promise<Cluster> {
    const name = `faults-${randomBytes(4).toString('hex')}`;
    const folder = await makeRunFolder();
    const database = name.replace('-', '_');
    const databaseUrl = await servers.postgres.createDatabase(database);
    const workerDatabaseUrl = (await plan.workerServer?.createDatabase(database)) ?? databaseUrl;
    const cluster = new Cluster(servers, folder, name, [databaseUrl, workerDatabaseUrl]);
    try {
      await cluster.#start(plan);
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  async #start(plan: ClusterPlan): Promise<void> {
    const gatewayDatabaseUrl = await (plan.gatewayDatabaseUrl?.(this.databaseUrl) ?? this.databaseUrl);
    const config = mergeConfig(this.#baseConfig(plan.leaseMs ?? 8_000), plan.config ?? {});
    const { folder } = this;
    const { mayBeDegraded = false } = plan;
    for (let index = 0; index < plan.gateways; index++) {
      const name = `gateway-${index}`;
      const env = { DATABASE_URL: nameApplication(gatewayDatabaseUrl, name), ...plan.env?.(index) };
      this.gateways.push(await GatewayProcess.plan({ name, folder, config, env, mayBeDegraded }));
    }
    await query(this.workerDatabaseUrl, 'create table faults_effect (operation_id text, call text)');
    await Promise.all(this.gateways.map((gateway) => gateway.start()));
    await Promise.all(this.gateways.map((gateway) => gateway.waitUntilReady()));
    await watchLeases(this.databaseUrl);
    for (const [index, worker] of plan.workers.entries()) await this.#startWorkers(worker, `workers-${index}`);
    await Promise.all(
      plan.workers.flatMap(({ methods, warmUp = methods }) => warmUp.map((method) => this.warmUp(method))),
    );
  }

  /** One more, of the config of the first; others call it once it is ready. Resolves then. */
  async addGateway(args?: readonly string[]): Promise<GatewayProcess> {
    const name = `gateway-${this.gateways.length}`;
    const { config, env } = this.gateways[0]!;
    const own = { ...env, DATABASE_URL: nameApplication(env['DATABASE_URL']!, name) };
    const plan = { name, folder: this.folder, config, env: own, ...(args && { args }) };
    const gateway = await GatewayProcess.plan(plan);
    try {
      await gateway.start();
      await gateway.waitUntilReady();
      this.gateways.push(gateway);
      return gateway;
    } catch (error) {
      await gateway.kill();
      throw error;
    }
  }

  /** Until a worker serves the method. */
  async warmUp(method: string): Promise<void> {
    const url = `${this.gateways[0]!.url}${routeOf(method)}`;
    await waitUntil({ what: `${method} served`, timeoutMs: 60_000, intervalMs: 250 }, async () => {
      const body = JSON.stringify({ call: 'warm-up' });
      const headers = { 'content-type': 'application/json', connection: 'close' };
      const response = await fetch(url, { method: 'POST', headers, body, signal: AbortSignal.timeout(8_000) });
      await response.body?.cancel();
      return response.status === 200;
    });
  }

  async #startWorkers({ count, methods, marks, concurrency }: WorkerPlan, group: string): Promise<void> {
    for (let index = 0; index < count; index++) {
      const worker = new WorkerProcess({
        name: `worker-${this.workers.length}`,
        folder: this.folder,
        brokers: this.servers.broker.brokers,
        namespace: this.namespace,
        group,
        methods: methods.map((method) => methodOf(method)),
        concurrency: concurrency ?? 16,
        topicPartitions: TOPIC_PARTITIONS,
        sessionTimeoutMs: SESSION_TIMEOUT_MS,
        databaseUrl: marks === 'postgres' ? this.workerDatabaseUrl : null,
      });
      this.workers.push(worker);
      await worker.start();
    }
  }

  #baseConfig(leaseMs: number): ConfigFile {
    return {
      contract: { sources: [CONTRACT_BEFORE] },
      kafka: {
        brokers: this.servers.broker.brokers,
        namespace: this.namespace,
        reply_partitions: 8,
        command_topic_partitions: TOPIC_PARTITIONS,
        session_timeout: `${SESSION_TIMEOUT_MS}ms`,
        fetch_max_wait: '100ms',
      },
      leases: { lease: `${leaseMs}ms`, heartbeat: `${Math.floor(leaseMs / 4)}ms` },
      chores: { lease: `${leaseMs}ms` },
      drain: { timeout: '40s' },
      log: { level: 'info', format: 'json' },
    };
  }

  /** Processes that nobody meant to end: faults leave everything running. */
  findDead(): string[] {
    const dead = [...this.gateways, ...this.workers].filter(({ isAlive }) => !isAlive);
    return dead.map((each) => `${each.name} has ended:\n${each.readLogTail()}`);
  }

  /** Everything that workers wrote down so far. */
  journal(): JournalLine[] {
    return readJournal(this.folder);
  }

  /** One for each effect that workers made in their database. */
  async storedEffects(): Promise<StoredEffect[]> {
    const statement = 'select operation_id as "operationId", call from faults_effect';
    return (await query(this.workerDatabaseUrl, statement)).rows;
  }

  query(statement: string) {
    return query(this.databaseUrl, statement);
  }

  async stop(): Promise<void> {
    const workers = this.workers.map((worker) => worker.kill());
    await Promise.all([...workers, ...this.gateways.map((gateway) => gateway.kill())]);
    await removeRunFolder(this.folder);
  }
}

/** So that the database knows which gateway writes. */
function nameApplication(databaseUrl: string, name: string): string {
  const url = new URL(databaseUrl);
  url.searchParams.set('application_name', name);
  return url.href;
}

/** `Do` → its full name, with the topic where the contract names one. */
function methodOf(name: string): WorkerSettings['methods'][number] {
  const method = `faults.v1.Work/${name}`;
  return /^(?:DoOld|DoNew)$/.test(name) ? { method, topic: 'faults.named' } : { method };
}

/** Group by group: what `over` says of a key replaces it. */
export function mergeConfig(base: ConfigFile, over: ConfigFile): ConfigFile {
  const merged: Record<string, unknown> = { ...base };
  for (const [group, value] of Object.entries(over))
    merged[group] = { ...(merged[group] as object), ...(value as object) };
  return merged;
}
