/** A gateway from its config to its last answer: starts what `wiring.ts` joins, and stops it in reverse. */
import { randomBytes } from 'node:crypto';
import type { Channel } from './channel/channel.ts';
import type { MemoryBroker } from './channel/memory-broker.ts';
import { contractOptionsOf } from './config/contract-options.ts';
import type { Config } from './config.ts';
import { type Contract, loadContract } from './contract/contract.ts';
import { createOpenapi } from './contract/openapi.ts';
import { createGrpcServer, type GrpcServer } from './edge/grpc/server.ts';
import { createHandle } from './edge/handle.ts';
import { createManagementServer, type ManagementServer, type Readiness } from './edge/management.ts';
import { createRestServer, type RestServer } from './edge/rest/server.ts';
import { pause } from './runtime/backoff.ts';
import { type Clock, systemClock } from './runtime/clock.ts';
import { IdSource } from './runtime/ids.ts';
import type { Logger } from './runtime/log.ts';
import { createMetrics, type Metrics } from './runtime/metrics.ts';
import { commandTopicsOf, findLongestTimeoutMs, openStack, type Stack, type Tools } from './stack.ts';
import type { Store } from './store/store.ts';
import { type Core, wireCore } from './wiring.ts';

/** Gateways that one call may cross; past it a worker is calling itself. */
const MAX_HOPS = 8;
/** After the drain's bound: for promotions to commit and answers to leave. */
const LAST_ANSWERS_MS = 5000;
/** How often gRPC's health service is told. */
const HEALTH_MS = 500;

export interface Gateway {
  readonly contract: Contract;
  readonly ports: { readonly http: number; readonly grpc: number; readonly management: number };
  /** The channel inside the process, for workers that run beside the gateway; null with Kafka. */
  readonly broker: MemoryBroker | null;
  readiness(): Readiness;
  /** Red, wait, refuse, let calls finish up to a bound, turn the rest into promises, close in reverse order. */
  drain(): Promise<void>;
}

export interface GatewayParts {
  readonly logger: Logger;
  readonly clock?: Clock;
  readonly metrics?: Metrics;
  readonly pgliteImageFile?: string;
  /** Tests put gates around the real thing. */
  readonly wrapStore?: (store: Store) => Store;
  readonly wrapChannel?: (channel: Channel) => Channel;
}

/** Throws `ContractProblems`, `ChannelSetupError`, `StoreError`, or what listening on a port that is taken throws. */
export async function startGateway(config: Config, parts: GatewayParts): Promise<Gateway> {
  const tools: Tools = { ...parts, clock: parts.clock ?? systemClock, metrics: parts.metrics ?? createMetrics() };
  const bootId = randomBytes(8).toString('hex');
  const contract = await loadContract(contractOptionsOf(config));
  const opened = await openStack(config, bootId, contract, tools);
  const store = parts.wrapStore?.(opened.store) ?? opened.store;
  const channel = parts.wrapChannel?.(opened.channel) ?? opened.channel;
  const stack = { ...opened, store, channel };
  const { topics } = opened;
  const longestTimeoutMs = findLongestTimeoutMs(contract);
  const core = wireCore(config, { bootId, store, channel, topics, contract, longestTimeoutMs, ...tools });
  const gateway = new RunningGateway({ bootId, config, contract, stack, core, tools });
  await gateway.start();
  return gateway;
}

interface Made {
  readonly bootId: string;
  readonly config: Config;
  readonly contract: Contract;
  readonly stack: Stack;
  readonly core: Core;
  readonly tools: Tools;
}

class RunningGateway implements Gateway {
  readonly contract: Contract;
  readonly broker: MemoryBroker | null;
  readonly ports = { http: 0, grpc: 0, management: 0 };
  readonly #made: Made;
  readonly #rest: RestServer;
  readonly #grpc: GrpcServer;
  readonly #management: ManagementServer;
  #phase: 'starting' | 'serving' | 'draining' = 'starting';
  #drained: Promise<void> | null = null;
  #stopWatching: (() => void) | null = null;

  constructor(made: Made) {
    this.#made = made;
    this.contract = made.contract;
    this.broker = made.stack.broker;
    const { config, contract, core, tools } = made;
    const handle = createHandle((invocation) => core.operations.invoke(invocation), { maxHops: MAX_HOPS });
    const requestIds = new IdSource(() => tools.clock.wallMs());
    const deps = { contract, handle, operations: core.resource, requestIds, ...tools };
    const openapi = createOpenapi(contract, { basePath: config.http.basePath, publicUrl: config.http.publicUrl });
    const { maxEventStreams } = config.operations;
    this.#rest = createRestServer({ ...config.http, maxEventStreams }, { ...deps, openapi: () => openapi });
    this.#grpc = createGrpcServer(config.grpc, deps);
    this.#management = createManagementServer(config.management, {
      readiness: () => this.readiness(),
      metrics: tools.metrics,
      administration: core.administration,
    });
  }

  /** Management first, so that a start that waits for its database can be watched; the edges last. */
  async start(): Promise<void> {
    const { core, contract, stack } = this.#made;
    const { channel } = stack;
    try {
      this.ports.management = (await this.#management.listen()).port;
      await channel.ensureTopics(commandTopicsOf(contract));
      await channel.replies.start((batch) => core.loop.onBatch(batch));
      core.leases.start();
      stack.store.hints.start((operationIds) => core.waiters.hint(operationIds));
      this.ports.http = (await this.#rest.listen()).port;
      this.ports.grpc = (await this.#grpc.listen()).port;
      core.chores.start();
      if (stack.broker !== null) await this.#resume();
      this.#phase = 'serving';
      this.#tellHealth();
    } catch (error) {
      await this.#close();
      throw error;
    }
  }

  /** The log of the in-process channel died with its process: what an earlier one had accepted is sent again. */
  async #resume(): Promise<void> {
    const { bootId, config, core, stack, tools } = this.#made;
    const { redriven, failed } = await stack.store.restart(bootId);
    // Those that were never sent are not counted, and taken up too. What finds no room is given back, for the chores.
    const claimed = await stack.store.listClaimed(bootId, { minAgeMs: 0, limit: config.operations.maxUnpublished });
    if (failed + claimed.length === 0) return;
    tools.logger.info({ redriven, failed, claimed: claimed.length }, 'operations of an earlier process are taken up');
    await core.chores.takeUp(claimed);
  }

  readiness(): Readiness {
    const { core, stack } = this.#made;
    const phase = this.#phase === 'serving' ? null : `the gateway is ${this.#phase}`;
    const reasons = [phase, core.leases.trouble(), stack.channel.replies.trouble()];
    const degraded = [stack.channel.degraded(), stack.store.degraded(), stack.store.hints.trouble()];
    const told = (list: readonly (string | null)[]) => list.filter((reason) => reason !== null);
    return { ready: told(reasons).length === 0, reasons: told(reasons), degraded: told(degraded) };
  }

  /** gRPC's health service says what readiness says, also of what changes by itself. */
  #tellHealth(): void {
    this.#grpc.setServing(this.readiness().ready);
    this.#stopWatching = this.#made.tools.clock.setTimer(() => this.#tellHealth(), HEALTH_MS);
  }

  drain(): Promise<void> {
    this.#drained ??= this.#drain();
    return this.#drained;
  }

  async #drain(): Promise<void> {
    const { config, core, tools } = this.#made;
    this.#phase = 'draining';
    this.#grpc.setServing(false);
    tools.logger.info({ delayMs: config.drain.delayMs, timeoutMs: config.drain.timeoutMs }, 'draining');
    const never = new AbortController().signal;
    await pause(tools.clock, config.drain.delayMs, never);
    this.#rest.beginDrain();
    this.#grpc.beginDrain();
    const bounds = config.drain.timeoutMs + LAST_ANSWERS_MS;
    const closed = Promise.all([this.#rest.close(bounds), this.#grpc.close(bounds)]);
    const patience = new AbortController();
    await Promise.race([closed, pause(tools.clock, config.drain.timeoutMs, patience.signal)]);
    patience.abort();
    // Whoever still waits gets a promise where the command allows one.
    core.calls.expireAll();
    core.waiters.stop();
    await closed;
    await this.#close();
    tools.logger.info({}, 'stopped');
  }

  /** In reverse order of the path; each step is bounded by itself. */
  async #close(): Promise<void> {
    const { core, stack } = this.#made;
    await Promise.all([this.#rest.close(0), this.#grpc.close(0)]);
    core.waiters.stop();
    this.#stopWatching?.();
    await core.chores.stop();
    await core.recorder.stop();
    core.changeWriter.stopRepeating();
    await core.dispatcher.stop();
    await core.changeWriter.stop();
    // Settled as far as the store goes along; then reading is let go, which may be waiting for room.
    await core.settler.stop();
    await core.forwarder.stop();
    await core.teller.stop();
    await core.loop.closeAll();
    await stack.channel.replies.stop();
    await core.leases.stop();
    await stack.channel.stop();
    stack.broker?.close();
    await stack.store.close();
    await this.#management.close();
  }
}
