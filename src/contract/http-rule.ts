/** `google.api.http` of one method, read and checked against the method's messages. */

import type { DescField, DescMessage, DescMethod, Message } from '@bufbuild/protobuf';
import type { FieldPath } from './command.ts';
import { findField, resolveFieldPath } from './field-path.ts';
import { type PathTemplate, parsePathTemplate, TemplateError } from './http-template.ts';
import { suggestName } from './nearest.ts';

/** One HTTP method and path by which a command is reached. */
export interface HttpBinding {
  /** Upper case; `*` for any. */
  readonly httpMethod: string;
  readonly template: PathTemplate;
  /** Fields that the path binds, by the proto path in the template, in the template's order. */
  readonly variables: ReadonlyMap<string, FieldPath>;
  /** `*`: the whole request; null: no body; else the one top-level field that the body is. */
  readonly body: '*' | DescField | null;
  /** The top-level field of the reply that is the response body; null: the whole reply. */
  readonly responseBody: DescField | null;
}

/** The shape of google.api.HttpRule as the registry's own descriptor decodes it. */
interface HttpRule extends Message {
  readonly pattern: {
    readonly case?: string;
    readonly value?: string | { readonly kind: string; readonly path: string };
  };
  readonly body: string;
  readonly responseBody: string;
  readonly additionalBindings: readonly HttpRule[];
}

/**
 * The bindings of a rule, its additional ones after it.
 * @param report is told what was found and what was expected; a binding with a problem is left out.
 */
export function readHttpRule(method: DescMethod, rule: Message, report: (message: string) => void): HttpBinding[] {
  const main = rule as HttpRule;
  const nested = main.additionalBindings.flatMap((binding) => binding.additionalBindings);
  if (nested.length > 0) report('additional_bindings inside additional_bindings, expected one level only');
  return [main, ...main.additionalBindings].flatMap((each) => {
    const problems: string[] = [];
    const binding = readBinding(method, each, (message) => problems.push(message));
    for (const problem of problems) report(problem);
    return binding && problems.length === 0 ? [binding] : [];
  });
}

/** `POST /{package.Service}/{Method}` with the whole request as body, for methods without a rule. */
export function bindUnbound(method: DescMethod): HttpBinding {
  return Object.freeze({
    httpMethod: 'POST',
    template: parsePathTemplate(`/${method.parent.typeName}/${method.name}`),
    variables: new Map(),
    body: '*',
    responseBody: null,
  });
}

function readBinding(method: DescMethod, rule: HttpRule, report: (message: string) => void): HttpBinding | null {
  const pattern = readPattern(rule, report);
  const template = pattern && readTemplate(pattern.path, report);
  if (!pattern || !template) return null;
  const body = readBody(method.input, rule.body, report);
  return Object.freeze({
    httpMethod: pattern.httpMethod,
    template,
    variables: readVariables(method.input, template, report),
    body,
    responseBody: readResponseBody(method.output, rule.responseBody, report),
  });
}

function readPattern(rule: HttpRule, report: (message: string) => void): { httpMethod: string; path: string } | null {
  const { case: kind, value } = rule.pattern;
  if (kind === undefined || value === undefined) {
    report('a rule without a path, expected one of get, put, post, delete, patch, custom');
    return null;
  }
  if (typeof value === 'string') return { httpMethod: kind.toUpperCase(), path: value };
  if (!/^(\*|[A-Za-z][A-Za-z0-9-]*)$/.test(value.kind)) {
    report(`custom kind "${value.kind}", expected the name of an HTTP method or "*"`);
    return null;
  }
  return { httpMethod: value.kind.toUpperCase(), path: value.path };
}

function readTemplate(path: string, report: (message: string) => void): PathTemplate | null {
  try {
    return parsePathTemplate(path);
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error;
    report(error.message);
    return null;
  }
}

function readVariables(
  input: DescMessage,
  template: PathTemplate,
  report: (message: string) => void,
): ReadonlyMap<string, FieldPath> {
  const variables = new Map<string, FieldPath>();
  for (const { fieldPath } of template.variables) {
    const resolved = resolveFieldPath(input, fieldPath);
    if (typeof resolved === 'string') report(`path variable {${fieldPath}} of "${template.text}": ${resolved}`);
    else variables.set(fieldPath, resolved);
  }
  return variables;
}

function readBody(input: DescMessage, name: string, report: (message: string) => void): HttpBinding['body'] {
  if (name === '' || name === '*') return name === '*' ? '*' : null;
  return readTopLevelField(input, 'body', name, report);
}

function readResponseBody(
  output: DescMessage,
  name: string,
  report: (message: string) => void,
): HttpBinding['responseBody'] {
  return name === '' ? null : readTopLevelField(output, 'response_body', name, report);
}

function readTopLevelField(
  message: DescMessage,
  option: string,
  name: string,
  report: (message: string) => void,
): DescField | null {
  const field = findField(message, name);
  if (field) return field;
  const known = message.fields.map((each) => each.name);
  report(`${option} "${name}" is no top-level field of ${message.typeName}${suggestName(name, known)}`);
  return null;
}
