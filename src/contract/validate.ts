/** Rules that a contract sets on its requests: buf.validate, and google.api.field_behavior = REQUIRED. */

import {
  create,
  type DescMessage,
  getOption,
  hasOption,
  isFieldSet,
  type Message,
  type Registry,
} from '@bufbuild/protobuf';
import type { Path } from '@bufbuild/protobuf/reflect';
import { FeatureSet_FieldPresence } from '@bufbuild/protobuf/wkt';
import {
  CompilationError,
  createValidator,
  type Violation as RuleViolation,
  type Validator,
} from '@bufbuild/protovalidate';
import type { DescField } from './command.ts';
import type { Finding } from './diagnose.ts';
import type { JsonPath } from './json-path.ts';

/** What is wrong with a message; empty for a good one. */
export type MessageCheck = (message: Message) => Finding[];

const REQUIRED = 2;
const BOOL = 8;
const MAX_FINDINGS = 20;

/** One a contract: compiled rules are shared by all its commands. */
export class RuleBook {
  readonly #registry: Registry;
  readonly #validator: Validator;
  readonly #checked = new Set<DescMessage>();
  readonly #required = new Map<DescMessage, RequiredPlan>();

  constructor(registry: Registry) {
    this.#registry = registry;
    this.#validator = createValidator({ registry });
  }

  /** Null where neither the type nor any type that it reaches has a rule. */
  checkOf(message: DescMessage): MessageCheck | null {
    const hasRules = reaches(message, (each) => this.#hasRules(each));
    const hasRequired = reaches(message, (each) => each.fields.some((field) => this.#isRequired(field)));
    if (!hasRules && !hasRequired) return null;
    return (value) => {
      const findings: Finding[] = [];
      if (hasRequired) this.#checkRequired(message, value, [], findings);
      if (hasRules) this.#checkRules(message, value, findings);
      return findings.slice(0, MAX_FINDINGS);
    };
  }

  /** Types of which a rule cannot be compiled, and why, among those that the type reaches. Each is told once. */
  findBrokenRules(root: DescMessage): { readonly type: string; readonly reason: string }[] {
    const broken: { type: string; reason: string }[] = [];
    reaches(root, (message) => {
      const reason = this.#hasRules(message) && !this.#checked.has(message) ? this.#compileRules(message) : null;
      this.#checked.add(message);
      if (reason) broken.push({ type: message.typeName, reason });
      return false;
    });
    return broken;
  }

  #compileRules(message: DescMessage): string | null {
    const result = this.#validator.validate(message, create(message));
    return result.kind === 'error' && result.error instanceof CompilationError ? result.error.message : null;
  }

  isRequired(field: DescField): boolean {
    return this.#isRequired(field);
  }

  #checkRules(message: DescMessage, value: Message, findings: Finding[]): void {
    const result = this.#validator.validate(message, value);
    if (result.kind === 'invalid') findings.push(...result.violations.map(toFinding));
    // An expression that divides by a caller's zero is the caller's fault as far as anyone can tell.
    if (result.kind === 'error') findings.push({ path: [], detail: `breaks a rule: ${result.error.message}` });
  }

  #checkRequired(message: DescMessage, value: Message, path: JsonPath, findings: Finding[]): void {
    const plan = this.#planOf(message);
    for (const field of plan.required) {
      if (!isFieldSet(value, field)) findings.push({ path: [...path, field.jsonName], detail: 'is required' });
    }
    for (const field of plan.nested) {
      for (const [place, child] of childMessages(value, field)) {
        this.#checkRequired(field.message!, child, [...path, field.jsonName, ...place], findings);
      }
    }
  }

  #planOf(message: DescMessage): RequiredPlan {
    const known = this.#required.get(message);
    if (known) return known;
    const reachesRequired = (field: DescField) =>
      field.message !== undefined &&
      reaches(field.message, (each) => each.fields.some((inner) => this.#isRequired(inner)));
    const plan = {
      required: message.fields.filter((field) => this.#isRequired(field) && canBeMissing(field)),
      nested: message.fields.filter(reachesRequired),
    };
    this.#required.set(message, plan);
    return plan;
  }

  #isRequired(field: DescField): boolean {
    const extension = this.#registry.getExtension('google.api.field_behavior');
    if (!extension || !hasOption(field, extension)) return false;
    return (getOption(field, extension) as unknown as readonly number[]).includes(REQUIRED);
  }

  #hasRules(message: DescMessage): boolean {
    const has = (name: string, target: DescMessage | DescField | DescMessage['oneofs'][number]): boolean => {
      const extension = this.#registry.getExtension(name);
      return extension !== undefined && hasOption(target, extension);
    };
    return (
      has('buf.validate.message', message) ||
      message.fields.some((field) => has('buf.validate.field', field)) ||
      message.oneofs.some((oneof) => has('buf.validate.oneof', oneof))
    );
  }
}

interface RequiredPlan {
  readonly required: readonly DescField[];
  readonly nested: readonly DescField[];
}

/**
 * A required field without presence has to differ from its default, as AIP-203 ("non-empty") and protovalidate's own
 * `required` have it; but for bool, whose only legal value would be `true`.
 */
function canBeMissing(field: DescField): boolean {
  return !(
    field.fieldKind === 'scalar' &&
    field.scalar === BOOL &&
    field.presence === FeatureSet_FieldPresence.IMPLICIT
  );
}

function reaches(root: DescMessage, test: (message: DescMessage) => boolean, seen = new Set<DescMessage>()): boolean {
  if (seen.has(root)) return false;
  seen.add(root);
  return test(root) || root.fields.some((field) => field.message !== undefined && reaches(field.message, test, seen));
}

function* childMessages(parent: Message, field: DescField): Generator<[JsonPath, Message]> {
  const value = readField(parent, field);
  if (value === undefined || value === null) return;
  if (field.fieldKind === 'list') for (const [index, item] of (value as Message[]).entries()) yield [[index], item];
  else if (field.fieldKind === 'map') {
    for (const [key, item] of Object.entries(value as Record<string, Message>)) yield [[key], item];
  } else yield [[], value as Message];
}

/** The local value of a field, also of a oneof's member; undefined where it is not the one that is set. */
export function readField(message: Message, field: DescField): unknown {
  const members = message as unknown as Readonly<Record<string, unknown>>;
  if (!field.oneof) return members[field.localName];
  const oneof = members[field.oneof.localName] as { readonly case?: string; readonly value?: unknown };
  return oneof.case === field.localName ? oneof.value : undefined;
}

function toFinding(violation: RuleViolation): Finding {
  const path = jsonPathOf(violation.field);
  const detail = violation.message || `breaks the rule ${violation.ruleId}`;
  return { path, detail: violation.forKey ? `has a key that ${detail}` : detail };
}

function jsonPathOf(path: Path): JsonPath {
  return path.flatMap((part): (string | number)[] => {
    if (part.kind === 'field') return [part.jsonName];
    if (part.kind === 'list_sub') return [part.index];
    if (part.kind === 'map_sub') return [String(part.key)];
    return [];
  });
}
