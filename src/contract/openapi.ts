/**
 * OpenAPI 3.1 of a contract, from its descriptors and comments. The same contract gives the same bytes: paths, schemas and
 * tags are in a fixed order.
 */

import type { Command } from './command.ts';
import type { Contract } from './contract.ts';
import type { HttpBinding } from './http-rule.ts';
import {
  acceptedResponse,
  keyParameter,
  keyReusedResponse,
  notedResponse,
  OWN_TAG,
  ownComponents,
  preferParameter,
  problemResponses,
  requiredKeyParameter,
  waitedHeaders,
} from './openapi-own.ts';
import { ownPaths } from './openapi-own-paths.ts';
import {
  type OpenApiPath,
  pathParametersOf,
  queryParametersOf,
  requestBodyOf,
  toOpenApiPath,
} from './openapi-paths.ts';
import { type Schema, SchemaRules } from './openapi-rules.ts';
import { describe, SchemaBook } from './openapi-schemas.ts';
import { commentOf, packageCommentOf } from './source-info.ts';

export interface OpenapiOptions {
  /** In front of Sluice's own routes. Default none. */
  readonly basePath?: string;
  /** What stands before all paths, for callers. Default: where the document was read from. */
  readonly publicUrl?: string | null;
}

export interface OpenApiDocument {
  readonly openapi: string;
  readonly info: Schema;
  readonly servers: readonly Schema[];
  readonly tags: readonly Schema[];
  readonly paths: Readonly<Record<string, Schema>>;
  readonly components: Readonly<Record<string, Readonly<Record<string, Schema>>>>;
}

/** The document as JSON text, for `/openapi.json`. */
export function createOpenapi(contract: Contract, options: OpenapiOptions = {}): string {
  return JSON.stringify(describeContract(contract, options));
}

export function describeContract(contract: Contract, options: OpenapiOptions = {}): OpenApiDocument {
  const routed = [...contract.commands.values()].filter((command) => command.bindings.length > 0);
  const unary = routed.filter((command) => command.kind === 'unary');
  const own = ownComponents({
    Noted: routed.some((command) => command.policy.style === 'NOTIFY'),
    IdempotencyKey: unary.some((command) => command.policy.idempotencyKey === 'OPTIONAL'),
    IdempotencyKeyRequired: unary.some((command) => command.policy.idempotencyKey === 'REQUIRED'),
    KeyReused: unary.length > 0,
  });
  const writer = new PathWriter(contract);
  const paths = { ...writer.writeAll(), ...ownPaths(options.basePath ?? '') };
  return {
    openapi: '3.1.0',
    info: describeInfo(contract),
    servers: [{ url: options.publicUrl?.replace(/\/$/, '') || '/' }],
    tags: [...describeServices(contract), OWN_TAG],
    paths,
    components: { ...own, schemas: { ...writer.schemas, ...own.schemas } },
  };
}

/** Named after its packages; the version is the last part of theirs, as AIP-215 has it. */
function describeInfo(contract: Contract): Schema {
  const files = [...new Set(contract.services.map(({ descriptor }) => descriptor.file))];
  const packages = [...new Set(files.map((file) => file.proto.package))].sort();
  const versions = packages
    .map((name) => /\.(v[0-9][A-Za-z0-9]*)$/.exec(name)?.[1])
    .filter((version) => version !== undefined);
  const comments = files.map(packageCommentOf).filter((comment) => comment !== '');
  const title = packages.join(', ');
  return {
    title: title || 'Commands',
    version: versions[0] ?? '0',
    description: comments.join('\n\n') || `The commands of ${title || 'the contract'}, served by Sluice.`,
  };
}

function describeServices(contract: Contract): Schema[] {
  const services = contract.services.filter(({ methods }) =>
    methods.some(({ command }) => command.bindings.length > 0),
  );
  return services
    .map(({ name, descriptor }) => ({ name, description: commentOf(descriptor) || `The commands of ${name}.` }))
    .sort((left, right) => (left.name < right.name ? -1 : 1));
}

/** Methods that OpenAPI has a place for, of those that Sluice serves. */
const METHODS = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace'];
const ANY_METHOD = ['get', 'put', 'post', 'delete', 'patch'];

class PathWriter {
  readonly #contract: Contract;
  readonly #rules: SchemaRules;
  readonly #book: SchemaBook;
  /** By the template's shape: routes that differ in the names of their variables alone are one path. */
  readonly #paths = new Map<string, { readonly path: OpenApiPath; readonly item: Schema }>();

  constructor(contract: Contract) {
    this.#contract = contract;
    this.#rules = new SchemaRules(contract.registry);
    this.#book = new SchemaBook(this.#rules);
  }

  /** Known once all paths are written. */
  get schemas(): Record<string, Schema> {
    return this.#book.schemas;
  }

  writeAll(): Record<string, Schema> {
    for (const command of this.#contract.commands.values()) {
      for (const [index, binding] of command.bindings.entries()) this.#write(command, binding, index);
    }
    const entries = [...this.#paths.values()].map(({ path, item }) => [path.text, item] as const);
    return Object.fromEntries(entries.sort(([left], [right]) => (left < right ? -1 : 1)));
  }

  #write(command: Command, binding: HttpBinding, index: number): void {
    const { path, item } = this.#pathOf(binding);
    const wanted = binding.httpMethod === '*' ? ANY_METHOD : [binding.httpMethod.toLowerCase()];
    for (const method of wanted.filter((each) => METHODS.includes(each) && !(each in item))) {
      const id = [command.type, ...(index > 0 ? [index + 1] : []), ...(wanted.length > 1 ? [method] : [])].join('.');
      item[method] = this.#describe(command, binding, path, id);
    }
  }

  #pathOf({ template }: HttpBinding): { readonly path: OpenApiPath; readonly item: Schema } {
    const known = this.#paths.get(template.shape);
    if (known) return known;
    const made = { path: toOpenApiPath(template), item: {} };
    this.#paths.set(template.shape, made);
    return made;
  }

  #describe(command: Command, binding: HttpBinding, path: OpenApiPath, operationId: string): Schema {
    const input = command.codec.requestType;
    const parameters = [
      ...pathParametersOf(binding, path, this.#book),
      ...queryParametersOf(input, binding, this.#book, this.#rules),
      ...(takesPreferences(command) ? [preferParameter] : []),
      ...keyParameterOf(command),
    ];
    const body = requestBodyOf(input, binding, this.#book);
    return {
      operationId,
      tags: [command.service],
      ...summarize(command),
      ...(command.deprecated ? { deprecated: true } : {}),
      ...(parameters.length > 0 ? { parameters } : {}),
      ...(body === null ? {} : { requestBody: body }),
      responses: {
        ...this.#successesOf(command, binding),
        ...(command.kind === 'unary' ? keyReusedResponse : {}),
        ...problemResponses,
      },
    };
  }

  #successesOf(command: Command, binding: HttpBinding): Schema {
    if (command.policy.style === 'NOTIFY') return { 202: notedResponse };
    const accepted = becomesOperation(command) ? { 202: acceptedResponse } : {};
    if (command.returnsOperation) return accepted;
    const success = this.#describeSuccess(command, binding);
    return { [command.policy.successStatus]: success, ...accepted };
  }

  #describeSuccess(command: Command, { responseBody }: HttpBinding): Schema {
    const { replyType } = command.codec;
    const schema = responseBody === null ? this.#book.ofMessage(replyType) : this.#book.ofField(responseBody);
    const hasBody = command.policy.successStatus !== 204 && command.policy.successStatus !== 205;
    return {
      description: firstSentence(commentOf(responseBody ?? replyType)) || 'The reply of the worker.',
      ...(takesPreferences(command) ? { headers: waitedHeaders } : {}),
      ...(hasBody ? { content: { 'application/json': { schema } } } : {}),
    };
  }
}

/** A call that fails at the end of its wait leaves its caller no choice, and there is nothing to wait for one-way. */
function takesPreferences({ policy }: Command): boolean {
  return policy.onTimeout === 'ACCEPT' && policy.style === 'REPLY';
}

/** Streaming calls take none. */
function keyParameterOf({ kind, policy }: Command): Schema[] {
  if (kind !== 'unary') return [];
  return [policy.idempotencyKey === 'REQUIRED' ? requiredKeyParameter : keyParameter];
}

function becomesOperation(command: Command): boolean {
  return command.returnsOperation || command.policy.onTimeout === 'ACCEPT';
}

/** The first sentence of the comment, and the whole of it. */
function summarize({ comment, name, method }: Command): Schema {
  const summary = firstSentence(comment).replace(/\.$/, '');
  return { ...(summary === '' ? { summary: method } : { summary }), ...describe(comment || `The command ${name}.`) };
}

function firstSentence(comment: string): string {
  return /^[\s\S]*?[.!?](?=\s|$)/.exec(comment)?.[0].replaceAll('\n', ' ') ?? comment.split('\n', 1)[0]!;
}
