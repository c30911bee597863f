// The real gateway in the test's process, on either stack, with workers beside it and callers in front of it.
import { fileURLToPath } from 'node:url';
import { Client, credentials } from '@grpc/grpc-js';
import {
  createWorker,
  type Handler,
  kafkaTransport,
  silentLogger as silentWorker,
  type Worker,
  type WorkerOptions,
  type WorkerTransport,
} from '@sluice/worker';
import { describe } from 'vitest';
import { createInProcessTransport } from '../../examples/orders/in-process.ts';
import { type Config, makeConfig, overrideConfig } from '../../src/config.ts';
import { type Gateway, type GatewayParts, startGateway } from '../../src/gateway.ts';
import { silentLogger } from '../../src/runtime/log.ts';
import { GrpcCaller } from './grpc-caller.ts';
import { createTestDatabase, describeWithBoth, realKafka, uniqueName } from './real-parts.ts';
import { RestCaller } from './rest-caller.ts';
import { PGLITE_IMAGE_FILE } from './store-parts.ts';
import { waitUntil } from './wait.ts';

export type StackKind = 'embedded' | 'servers';

/** `calls.v1.Calls`: a command for each policy. */
export const CALLS_CONTRACT = fileURLToPath(new URL('contract', import.meta.url));

/** What two gateways have in common. */
export interface Place {
  readonly stack: StackKind;
  readonly namespace: string;
  readonly databaseUrl: string | null;
}

// biome-ignore lint/suspicious/noExplicitAny: requests and responses are whatever the contract of the test says.
export type Handlers = Readonly<Record<string, Handler<any, any>>>;

export interface TestGatewayOptions {
  readonly stack: StackKind;
  /** Beside another gateway: on its Kafka topics and in its database. */
  readonly place?: Place;
  /** By method of `calls.v1.Calls`, or by full name. None: no worker is started. */
  readonly handlers?: Handlers;
  /** Folders; by default `CALLS_CONTRACT`. */
  readonly contract?: readonly string[];
  readonly config?: Parameters<typeof makeConfig>[0];
  /** By method of `calls.v1.Calls`; they win over the contract. */
  readonly policies?: Readonly<Record<string, object>>;
  /** False: ready is enough, and what it shares with others may be down. Default true. */
  readonly whole?: boolean;
  readonly parts?: Partial<GatewayParts>;
}

/** Leases and chores that a test can wait for. */
export const QUICK = {
  leases: { heartbeatMs: 300, leaseMs: 3_000 },
  chores: { intervalMs: 100, leaseMs: 2_000 },
} as const;

const START_TIMEOUT_MS = 30_000;
const STOP_WORKER_MS = 1_000;

/** The same tests on the stack inside the process and on the real servers; those are skipped where the run has none. */
export function describeOnBothStacks(name: string, body: (stack: StackKind) => void): void {
  describe(`${name}, embedded`, () => body('embedded'));
  describeWithBoth(`${name}, on Kafka and PostgreSQL`, () => body('servers'));
}

/** Names topics and, for the servers, a database that nobody else has. */
export async function findPlace(stack: StackKind): Promise<Place> {
  const databaseUrl = stack === 'servers' ? await createTestDatabase() : null;
  return { stack, namespace: uniqueName('scenario'), databaseUrl };
}

/** Resolves when it is ready and its workers take commands. */
export async function startTestGateway(options: TestGatewayOptions): Promise<TestGateway> {
  const place = options.place ?? (await findPlace(options.stack));
  const config = configOf(place, options);
  const parts = {
    logger: silentLogger,
    pgliteImageFile: PGLITE_IMAGE_FILE,
    ...options.parts,
  };
  const gateway = await startGateway(config, parts);
  const transport = openTransport(gateway, config);
  const started = new TestGateway(place, config, gateway, transport);
  try {
    await started.waitUntilReady(options.whole);
    if (options.handlers) await started.startWorker(options.handlers);
  } catch (error) {
    await started.close();
    throw error;
  }
  return started;
}

export class TestGateway {
  readonly place: Place;
  readonly config: Config;
  readonly gateway: Gateway;
  /** The bus as a worker sees it: also for replies that no SDK would send. */
  readonly transport: WorkerTransport;
  readonly rest: RestCaller;
  readonly management: RestCaller;
  readonly grpc: GrpcCaller;
  readonly #client: Client;
  readonly #workers: Worker[] = [];

  constructor(place: Place, config: Config, gateway: Gateway, transport: WorkerTransport) {
    this.place = place;
    this.config = config;
    this.gateway = gateway;
    this.transport = transport;
    this.rest = new RestCaller(`http://127.0.0.1:${gateway.ports.http}`);
    this.management = new RestCaller(this.managementUrl);
    this.#client = new Client(`127.0.0.1:${gateway.ports.grpc}`, credentials.createInsecure());
    this.grpc = new GrpcCaller(this.#client, config.contract.sources);
  }

  get managementUrl(): string {
    return `http://127.0.0.1:${this.gateway.ports.management}`;
  }

  /** Of a method of `calls.v1.Calls` without a topic of its own. */
  topicOf(method: string): string {
    return `${this.place.namespace}.calls.v1.Calls.${method}`;
  }

  async waitUntilReady(whole = true): Promise<void> {
    await waitUntil({ what: 'gateway ready', timeoutMs: START_TIMEOUT_MS, intervalMs: 10 }, () => {
      const { ready, degraded } = this.gateway.readiness();
      return ready && (!whole || degraded.length === 0);
    });
  }

  /** The sum over the samples of one metric whose labels hold this text; 0 where there is none. */
  async readMetric(name: string, labels = ''): Promise<number> {
    const text = await (await fetch(`${this.managementUrl}/metrics`)).text();
    const samples = text.split('\n').filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`));
    return samples
      .filter((line) => line.includes(labels))
      .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
  }

  async startWorker(handlers: Handlers, options: Partial<WorkerOptions> = {}): Promise<Worker> {
    const { transport, place } = this;
    const common = { transport, group: 'calls', namespace: place.namespace, logger: silentWorker };
    const worker = createWorker({ ...common, ...options });
    for (const [name, handler] of Object.entries(handlers)) {
      worker.handle(name.includes('/') ? name : `calls.v1.Calls/${name}`, handler);
    }
    this.#workers.push(worker);
    await worker.start();
    return worker;
  }

  /** Workers go first: a gateway that drains waits for nobody then. */
  async close(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.stop({ timeoutMs: STOP_WORKER_MS })));
    await this.transport.close();
    await this.gateway.drain();
    this.#client.close();
  }
}

function configOf(place: Place, options: TestGatewayOptions): Config {
  const config = makeConfig({
    contract: { sources: [...(options.contract ?? [CALLS_CONTRACT])] },
    http: { port: 0 },
    grpc: { port: 0 },
    management: { port: 0 },
    kafka: {
      brokers: place.stack === 'servers' ? (realKafka() ?? []) : [],
      namespace: place.namespace,
      replyPartitions: 4,
      commandTopicPartitions: 2,
      sessionTimeoutMs: 6_000,
      fetchMaxWaitMs: 100,
    },
    store: { databaseUrl: place.databaseUrl, dataDir: ':memory:', poolSize: 4 },
    drain: { timeoutMs: 0 },
    log: { level: 'silent' },
  });
  const named = Object.entries(options.policies ?? {}).map(([name, policy]) => [`calls.v1.Calls/${name}`, policy]);
  const policed = overrideConfig(config, { contract: { policies: { methods: Object.fromEntries(named) } } });
  return overrideConfig(policed, options.config ?? {});
}

function openTransport(gateway: Gateway, config: Config): WorkerTransport {
  if (gateway.broker !== null) return createInProcessTransport(gateway.broker);
  return kafkaTransport({ brokers: config.kafka.brokers, maxWaitMs: 100, logger: silentWorker });
}
