/** The contract of a team, loaded: its commands with their policies, its routes, and its descriptors. */

import {
  createFileRegistry,
  createRegistry,
  type DescMethod,
  type DescService,
  type FileRegistry,
  type Registry,
  toBinary,
} from '@bufbuild/protobuf';
import {
  FileDescriptorSetSchema,
  file_google_protobuf_any,
  file_google_protobuf_duration,
  file_google_protobuf_empty,
  file_google_protobuf_field_mask,
  file_google_protobuf_struct,
  file_google_protobuf_timestamp,
  file_google_protobuf_wrappers,
} from '@bufbuild/protobuf/wkt';
import type { Command } from './command.ts';
import { CommandReader } from './command-reader.ts';
import { type CompiledSources, type CompileOptions, compileSources } from './compile.ts';
import { ConfigPolicyReader } from './config-policies.ts';
import type { ConfigPolicies } from './policy.ts';
import { ContractProblems, type Problem } from './problems.ts';
import { DescriptorSource } from './reflection.ts';
import { findRouteProblems } from './route-problems.ts';
import { Router } from './routes.ts';

export interface LoadOptions extends CompileOptions {
  /** Folders that imports start from, or compiled descriptor sets. */
  readonly sources: readonly string[];
  readonly policies?: ConfigPolicies;
  /** Serve methods without an HTTP rule as `POST /{package.Service}/{Method}`. Default false. */
  readonly unboundMethods?: boolean;
  /** In front of every topic, with a dot between. Default none. */
  readonly topicNamespace?: string;
  /** In front of Sluice's own routes. Default none. */
  readonly basePath?: string;
  /** Sluice's own routes below `basePath`; a contract may have none of them nor anything below. */
  readonly ownRoutes?: readonly string[];
  /** How deep request messages may nest in one another. Default 64. */
  readonly maxDepth?: number;
}

export interface ContractService {
  /** `orders.v1.Orders` */
  readonly name: string;
  readonly methods: readonly ServiceMethod[];
  readonly descriptor: DescService;
}

/** What grpc-js needs for a service definition with Buffers passed through. */
export interface ServiceMethod {
  readonly command: Command;
  /** `/orders.v1.Orders/CreateOrder` */
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
}

export interface Contract {
  /** By name, `orders.v1.Orders/CreateOrder`. */
  readonly commands: ReadonlyMap<string, Command>;
  readonly services: readonly ContractService[];
  readonly routes: Router;
  /** For gRPC reflection. */
  readonly descriptors: DescriptorSource;
  /** Serialized, with source info. */
  readonly fileDescriptorSet: Uint8Array;
  /** For what describes the contract, in this folder. */
  readonly registry: FileRegistry;
}

const OWN_ROUTES: readonly string[] = Object.freeze(['/operations', '/webhooks', '/docs', '/openapi.json']);

/** Services that Sluice itself serves, or that are its own definitions. */
const NOT_COMMANDS = /^(?:google\.longrunning\.Operations|grpc\.health\..+|grpc\.reflection\..+|sluice\.v1\..+)$/;

const DEFAULT_MAX_DEPTH = 64;

/** @throws ContractProblems with everything that is wrong. */
export async function loadContract(options: LoadOptions): Promise<Contract> {
  const sources = await compileSources(options.sources, options);
  const registry = readRegistry(sources);
  const problems: Problem[] = [];
  const methods = listMethods(registry, sources);
  if (methods.length === 0)
    problems.push({ message: 'the contract has no services, expected at least one method to serve' });
  const policies = new ConfigPolicyReader(options.policies ?? {}, methods, problems);
  const reader = new CommandReader({
    registry,
    messages: withWellKnownTypes(registry),
    ownFiles: sources.ownFiles,
    policies,
    unboundMethods: options.unboundMethods ?? false,
    topicNamespace: options.topicNamespace ?? '',
    maxDepth: options.maxDepth ?? DEFAULT_MAX_DEPTH,
    problems,
  });
  const commands = methods.flatMap((method) => reader.read(method) ?? []);
  const routes = new Router();
  const ownRoutes = (options.ownRoutes ?? OWN_ROUTES).map((route) => `${options.basePath ?? ''}${route}`);
  problems.push(...findRouteProblems(routes, commands, ownRoutes, sources.ownFiles));
  if (problems.length > 0) throw new ContractProblems(problems);
  return Object.freeze({
    commands: new Map(commands.map((command) => [command.name, command])),
    services: groupByService(commands),
    routes,
    descriptors: new DescriptorSource(registry),
    fileDescriptorSet: toBinary(FileDescriptorSetSchema, sources.set),
    registry,
  });
}

function readRegistry(sources: CompiledSources): FileRegistry {
  try {
    return createFileRegistry(sources.set);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ContractProblems([{ message: `the descriptor set is not complete: ${reason}` }]);
  }
}

/** An Any may hold a well-known type that no file of the contract imports. */
function withWellKnownTypes(registry: FileRegistry): Registry {
  return createRegistry(
    file_google_protobuf_any,
    file_google_protobuf_duration,
    file_google_protobuf_empty,
    file_google_protobuf_field_mask,
    file_google_protobuf_struct,
    file_google_protobuf_timestamp,
    file_google_protobuf_wrappers,
    registry,
  );
}

function listMethods(registry: FileRegistry, sources: CompiledSources): DescMethod[] {
  return [...registry.files]
    .filter((file) => sources.ownFiles.has(file.proto.name))
    .flatMap((file) => file.services)
    .filter((service) => !NOT_COMMANDS.test(service.typeName))
    .flatMap((service) => service.methods);
}

function groupByService(commands: readonly Command[]): ContractService[] {
  const services = new Map<DescService, ServiceMethod[]>();
  for (const command of commands) {
    const service = command.descriptor.parent;
    const methods = services.get(service) ?? [];
    services.set(service, methods);
    methods.push({
      command,
      path: `/${command.name}`,
      requestStream: command.kind === 'client_streaming' || command.kind === 'bidi_streaming',
      responseStream: command.kind === 'server_streaming' || command.kind === 'bidi_streaming',
    });
  }
  return [...services].map(([descriptor, methods]) => ({ name: descriptor.typeName, methods, descriptor }));
}
