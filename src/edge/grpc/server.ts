/** The gRPC edge: the contract's methods, google.longrunning.Operations, health and reflection on one port. */

import { Server, type ServerOptions } from '@grpc/grpc-js';
import type { Contract } from '../../contract/contract.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Logger } from '../../runtime/log.ts';
import type { Metrics } from '../../runtime/metrics.ts';
import type { Handle, OperationResource } from '../call.ts';
import { CallLog } from '../call-log.ts';
import { registerCommands } from './commands.ts';
import { Connections } from './connections.ts';
import { HealthService } from './health-service.ts';
import { registerOperations } from './operations-service.ts';
import type { GrpcOptions } from './options.ts';
import { ReflectionIndex } from './reflection-index.ts';
import { ReflectionService } from './reflection-service.ts';
import { explainTransportErrors } from './transport-errors.ts';
import { refuseUnknownMethods } from './unknown-methods.ts';

export interface GrpcServerDeps {
  readonly contract: Contract;
  readonly handle: Handle;
  readonly operations: OperationResource;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** For callers that send no `x-request-id`. */
  readonly requestIds: { next(): string };
}

export interface GrpcServer {
  /** Rejects where the address cannot be listened on. */
  listen(): Promise<{ readonly port: number }>;
  /** What grpc.health.v1.Health answers. False at first. */
  setServing(serving: boolean): void;
  /** GOAWAY on every connection, no new ones; open calls go on, waits for operations answer what is known. */
  beginDrain(): void;
  /** Drains, and cuts off what is still open after `timeoutMs`. */
  close(timeoutMs: number): Promise<void>;
}

const OWN_SERVICES = [
  'google.longrunning.Operations',
  'grpc.health.v1.Health',
  'grpc.reflection.v1.ServerReflection',
  'grpc.reflection.v1alpha.ServerReflection',
];

export function createGrpcServer(options: GrpcOptions, deps: GrpcServerDeps): GrpcServer {
  const draining = new AbortController();
  const health = new HealthService([...deps.contract.services.map((service) => service.name), ...OWN_SERVICES]);
  const reflection = new ReflectionService(new ReflectionIndex(deps.contract, OWN_SERVICES));
  const callLog = new CallLog('grpc', deps);
  const shared = { ...deps, callLog, options, draining: draining.signal };
  const server = new Server({ ...serverOptions(options), interceptors: [explainTransportErrors(shared)] });
  const registrations = [
    ...deps.contract.services.map((service) => registerCommands(service, shared)),
    registerOperations(shared),
    health.register(),
    ...reflection.register(),
  ];
  for (const { definition, implementation } of registrations) server.addService(definition, implementation);
  refuseUnknownMethods(server, shared);
  const connections = new Connections(server, options.maxConnections);

  function beginDrain(): Promise<void> {
    health.setServing(false);
    health.endWatches();
    reflection.endStreams();
    draining.abort();
    return connections.drain();
  }

  return {
    listen: async () => ({ port: await connections.listen(options) }),
    setServing: (serving) => health.setServing(serving),
    beginDrain: () => void beginDrain(),
    async close(timeoutMs) {
      const cancelTimer = deps.clock.setTimer(() => connections.destroy(), timeoutMs);
      await beginDrain();
      cancelTimer();
    },
  };
}

function serverOptions(options: GrpcOptions): ServerOptions {
  return {
    'grpc.max_receive_message_length': options.maxMessageBytes,
    'grpc.max_send_message_length': options.maxResultBytes,
    'grpc.max_concurrent_streams': options.maxConcurrentStreams,
    'grpc.keepalive_time_ms': options.keepaliveTimeMs,
    'grpc.keepalive_timeout_ms': options.keepaliveTimeoutMs,
    'grpc.max_connection_age_ms': options.maxConnectionAgeMs,
    'grpc.max_connection_age_grace_ms': options.maxConnectionAgeGraceMs,
    'grpc.max_connection_idle_ms': options.maxConnectionIdleMs,
    // Books on every message, for a debugging service that is not served.
    'grpc.enable_channelz': 0,
  };
}
