import type { DescMessage, DescMethod, FileRegistry, Registry } from '@bufbuild/protobuf';
import { MethodOptions_IdempotencyLevel } from '@bufbuild/protobuf/wkt';
import { Codec } from './codec.ts';
import type { Command } from './command.ts';
import { type ConfigPolicyReader, nameOf } from './config-policies.ts';
import { bindUnbound, type HttpBinding, readHttpRule } from './http-rule.ts';
import { readCommandOption, readHttpOption, readOperationResponseType } from './options.ts';
import { resolvePolicy } from './policy.ts';
import { readPolicyFields } from './policy-fields.ts';
import type { Problem } from './problems.ts';
import { commentOf, locateDeclaration } from './source-info.ts';
import { RuleBook } from './validate.ts';

export interface CommandReaderOptions {
  readonly registry: FileRegistry;
  /** For google.protobuf.Any: the contract's types and the well-known ones. */
  readonly messages: Registry;
  readonly ownFiles: ReadonlyMap<string, string>;
  readonly policies: ConfigPolicyReader;
  readonly unboundMethods: boolean;
  readonly topicNamespace: string;
  readonly maxDepth: number;
  /** Told of everything that is wrong. */
  readonly problems: Problem[];
}

const OPTION = '(sluice.v1.command)';
const OPERATION = 'google.longrunning.Operation';

/** Makes commands of methods. */
export class CommandReader {
  readonly #options: CommandReaderOptions;
  readonly #rules: RuleBook;

  constructor(options: CommandReaderOptions) {
    this.#options = options;
    this.#rules = new RuleBook(options.registry);
  }

  read(method: DescMethod): Command {
    const { messages: registry, maxDepth } = this.#options;
    const policy = this.#readPolicy(method);
    const replyType = this.#readReplyType(method);
    this.#checkRules(method);
    const codec = new Codec({ requestType: method.input, replyType, policy, registry, rules: this.#rules, maxDepth });
    return Object.freeze({
      name: nameOf(method),
      type: `${method.parent.typeName}.${method.name}`,
      service: method.parent.typeName,
      method: method.name,
      kind: method.methodKind,
      policy,
      bindings: Object.freeze(this.#readBindings(method)),
      deprecated: method.deprecated,
      comment: commentOf(method),
      codec,
      returnsOperation: method.output.typeName === OPERATION,
      idempotencyLevel: readIdempotency(method),
      descriptor: method,
    });
  }

  #readPolicy(method: DescMethod) {
    const { policies, registry, topicNamespace } = this.#options;
    const option = readPolicyFields(readCommandOption(registry, method), (key, message) =>
      this.#report(method, `${OPTION}.${key}`, message),
    );
    const subject = {
      input: method.input,
      defaultTopic: `${method.parent.typeName}.${method.name}`,
      topicNamespace,
      returnsOperation: method.output.typeName === OPERATION,
      streamsRequests: method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming',
    };
    const layers = {
      methodConfig: policies.ofMethod(method),
      serviceConfig: policies.ofService(method),
      option,
      configDefaults: policies.defaults,
    };
    return resolvePolicy(subject, layers, (field, message) => {
      const place = policies.placeOf(method, field) ?? (field in option ? undefined : policies.placeOfDefault(field));
      if (place) this.#options.problems.push({ ...place, method: nameOf(method), message });
      else this.#report(method, `${OPTION}.${field}`, message);
    });
  }

  #readBindings(method: DescMethod): HttpBinding[] {
    const rule = readHttpOption(this.#options.registry, method);
    if (rule) return readHttpRule(method, rule, (message) => this.#report(method, 'google.api.http', message));
    return this.#options.unboundMethods ? [bindUnbound(method)] : [];
  }

  /** A method that returns an operation has the type of its result in another option. */
  #readReplyType(method: DescMethod): DescMessage {
    const name =
      method.output.typeName === OPERATION ? readOperationResponseType(this.#options.registry, method) : null;
    if (name === null) return method.output;
    const scopes = method.parent.file.proto.package.split('.');
    const candidates = [
      name,
      ...scopes.map((_, index) => `${scopes.slice(0, scopes.length - index).join('.')}.${name}`),
    ];
    for (const candidate of candidates) {
      const type = this.#options.messages.getMessage(candidate);
      if (type) return type;
    }
    const option = 'google.longrunning.operation_info';
    this.#report(
      method,
      option,
      `response_type "${name}" is no message of the contract, expected one that its files import`,
    );
    return method.output;
  }

  #checkRules(method: DescMethod): void {
    for (const { type, reason } of this.#rules.findBrokenRules(method.input)) {
      this.#report(method, 'buf.validate', `a rule of ${type} cannot be compiled: ${reason}`);
    }
  }

  #report(method: DescMethod, option: string, message: string): void {
    const place = locateMethod(method, this.#options.ownFiles);
    this.#options.problems.push({ ...place, method: nameOf(method), option, message });
  }
}

/** The file as the user gave it, and the line of the method where the set has source info. */
export function locateMethod(
  method: DescMethod,
  ownFiles: ReadonlyMap<string, string>,
): Pick<Problem, 'file' | 'line' | 'column'> {
  const name = method.parent.file.proto.name;
  const file = ownFiles.get(name) ?? name;
  const location = locateDeclaration(method);
  return location ? { file, line: location.line, column: location.column } : { file };
}

function readIdempotency(method: DescMethod): Command['idempotencyLevel'] {
  if (method.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS) return 'NO_SIDE_EFFECTS';
  return method.idempotency === MethodOptions_IdempotencyLevel.IDEMPOTENT ? 'IDEMPOTENT' : 'UNKNOWN';
}
