/**
 * An HTTP request as a request message, by the rules of google/api/http.proto: fields that the path binds come from the
 * path, those that `body` names from the body, all others from the query. What the path binds wins over the body.
 */

import type { DescField, JsonValue } from '@bufbuild/protobuf';
import { Failure, type Violation } from '../runtime/failure.ts';
import type { Command, ContractMessage } from './command.ts';
import type { HttpBinding } from './http-rule.ts';
import { JsonTree, parseQuery, readLeaf, refuseParameters, resolveParameter } from './query.ts';

export { parseJsonBody } from './json-body.ts';

/**
 * @param variables as the router captured them.
 * @param query what follows the `?`, without it; may be empty.
 * @param body parsed JSON; undefined: the request has no body.
 * @throws Failure REQUEST_MALFORMED or REQUEST_INVALID; violations name a parameter or a place of the body.
 */
export function assembleRequest(
  command: Command,
  binding: HttpBinding,
  variables: ReadonlyMap<string, string>,
  query: string,
  body: JsonValue | undefined,
): ContractMessage {
  const parameters = query === '' ? [] : parseQuery(query);
  if (binding.body === '*' && variables.size === 0 && parameters.length === 0) {
    return command.codec.requestFromJson(body === undefined ? {} : body, binding);
  }
  const start = startFromBody(command, binding, body);
  if (!isObject(start)) return command.codec.requestFromJson(start, binding);
  const tree = new JsonTree(start);
  const violations: Violation[] = [];
  setVariables(tree, binding, variables, violations);
  setParameters(tree, command, binding, parameters, violations);
  if (violations.length > 0) refuseParameters(violations);
  return command.codec.requestFromJson(tree.root, binding);
}

function startFromBody(command: Command, binding: HttpBinding, body: JsonValue | undefined): JsonValue {
  if (binding.body === '*') return body === undefined ? {} : body;
  if (body === undefined) return {};
  if (binding.body === null) {
    throw new Failure('REQUEST_INVALID', `${command.name} takes no body on this path`, {
      violations: [{ pointer: '#', detail: 'is not taken, expected no body' }],
    });
  }
  return { [binding.body.jsonName]: body };
}

function setVariables(
  tree: JsonTree,
  binding: HttpBinding,
  variables: ReadonlyMap<string, string>,
  violations: Violation[],
): void {
  for (const [name, { fields }] of binding.variables) {
    const leaf = readLeaf(fields.at(-1)!, variables.get(name) ?? '');
    if ('detail' in leaf) violations.push({ parameter: name, detail: leaf.detail });
    else tree.set(fields, leaf.value);
  }
}

const MAX_VIOLATIONS = 20;

interface Gathered {
  readonly name: string;
  readonly fields: readonly DescField[];
  readonly values: JsonValue[];
}

function setParameters(
  tree: JsonTree,
  command: Command,
  binding: HttpBinding,
  parameters: readonly { readonly name: string; readonly value: string }[],
  violations: Violation[],
): void {
  const gathered = new Map<string, Gathered>();
  for (const { name, value } of parameters) {
    if (violations.length >= MAX_VIOLATIONS) return;
    const detail = gatherParameter(gathered, command, binding, name, value);
    if (detail !== null) violations.push({ parameter: name, detail });
  }
  for (const { fields, values } of gathered.values()) {
    const repeated = fields.at(-1)!.fieldKind === 'list';
    tree.set(fields, repeated ? values : values[0]!);
  }
}

/** @returns what is wrong with the parameter; null where nothing is. */
function gatherParameter(
  gathered: Map<string, Gathered>,
  command: Command,
  binding: HttpBinding,
  name: string,
  text: string,
): string | null {
  if (binding.body === '*') return 'is not taken: all fields come from the path and the body';
  const fields = resolveParameter(command.codec.requestType, name);
  if (typeof fields === 'string') return fields;
  if (fields[0] === binding.body) return 'is not taken: the field comes from the body';
  const path = fields.map((field) => field.name).join('.');
  if (isBound(binding, fields)) return 'is not taken: the field comes from the path';
  const leaf = readLeaf(fields.at(-1)!, text);
  if ('detail' in leaf) return leaf.detail;
  const known = gathered.get(path);
  if (!known) gathered.set(path, { name, fields, values: [leaf.value] });
  else if (fields.at(-1)!.fieldKind !== 'list') return 'is given more than once, expected one value';
  else known.values.push(leaf.value);
  return null;
}

function isBound(binding: HttpBinding, fields: readonly DescField[]): boolean {
  for (const bound of binding.variables.values()) {
    if (bound.fields.length === fields.length && bound.fields.every((field, index) => field === fields[index]))
      return true;
  }
  return false;
}

function isObject(value: JsonValue): value is { [key: string]: JsonValue } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
