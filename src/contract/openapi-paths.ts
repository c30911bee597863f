/** Routes of the contract as OpenAPI paths and parameters. */

import type { DescField, DescMessage } from '@bufbuild/protobuf';
import { isLeaf } from './field-path.ts';
import type { HttpBinding } from './http-rule.ts';
import type { PathTemplate } from './http-template.ts';
import type { Schema, SchemaRules } from './openapi-rules.ts';
import { describe, type SchemaBook } from './openapi-schemas.ts';
import { commentOf } from './source-info.ts';

/** One `{…}` of an OpenAPI path: one segment, or with `rest` all that are left. */
export interface PathParameter {
  readonly name: string;
  readonly rest: boolean;
}

export interface OpenApiPath {
  readonly text: string;
  /** In the order of the template's wildcards. */
  readonly parameters: readonly PathParameter[];
}

/**
 * A variable that is one wildcard keeps its name, `{order.id}`. One that captures more becomes a parameter for each wildcard in
 * it, named after the literal before it: `{name=shelves/*}` is `shelves/{shelves_id}`; OpenAPI knows no slashes in one.
 */
export function toOpenApiPath(template: PathTemplate): OpenApiPath {
  const parameters: PathParameter[] = [];
  let before = 'segment';
  const parts = template.segments.map((segment, index) => {
    if (segment.kind === 'literal') {
      before = segment.text.replace(/[^A-Za-z0-9_]/g, '_');
      return encodeURIComponent(segment.text);
    }
    const variable = template.variables.find(({ start, end }) => start === index && end === index + 1);
    const rest = segment.kind === 'rest';
    const name = uniqueName(variable?.fieldPath ?? `${before}_${rest ? 'path' : 'id'}`, parameters);
    parameters.push({ name, rest });
    return `{${name}}`;
  });
  return {
    text: `/${parts.join('/')}${template.verb === null ? '' : `:${encodeURIComponent(template.verb)}`}`,
    parameters,
  };
}

function uniqueName(wanted: string, taken: readonly PathParameter[]): string {
  let name = wanted;
  for (let number = 2; taken.some((parameter) => parameter.name === name); number++) name = `${wanted}_${number}`;
  return name;
}

/** @param path of the first route of this shape, whose names the later ones share. */
export function pathParametersOf(binding: HttpBinding, path: OpenApiPath, book: SchemaBook): Schema[] {
  const wildcards = binding.template.segments.flatMap((segment, index) => (segment.kind === 'literal' ? [] : [index]));
  return path.parameters.map(({ name, rest }, number) => {
    const position = wildcards[number]!;
    const variable = binding.template.variables.find(({ start, end }) => start <= position && (position < end || rest));
    const field = variable && binding.variables.get(variable.fieldPath)?.fields.at(-1);
    const whole = variable !== undefined && variable.end === variable.start + 1;
    return {
      name,
      in: 'path',
      required: true,
      ...describe(describePathParameter(binding, variable?.fieldPath, whole, rest, field)),
      schema: field && whole ? withoutDescription(book.ofField(field)) : { type: 'string' },
    };
  });
}

function describePathParameter(
  { template }: HttpBinding,
  fieldPath: string | undefined,
  whole: boolean,
  rest: boolean,
  field: DescField | undefined,
): string {
  const slashes = rest ? ' Any number of segments: slashes in it are sent as they are.' : '';
  if (fieldPath === undefined || !field) return `Any text.${slashes}`;
  const comment = commentOf(field);
  if (whole) return `${comment}${slashes}`.trim();
  const pattern = new RegExp(`\\{${fieldPath.replaceAll('.', '\\.')}=([^}]*)\\}`).exec(template.text)?.[1] ?? '';
  return `A part of \`${fieldPath}\`, which is \`${pattern}\`.${slashes}${comment === '' ? '' : `\n\n${comment}`}`;
}

/** How deep fields of nested messages are listed; deeper ones are read all the same. */
const MAX_QUERY_DEPTH = 4;

/** Every field that neither path nor body binds and that a query can hold. */
export function queryParametersOf(
  input: DescMessage,
  binding: HttpBinding,
  book: SchemaBook,
  rules: SchemaRules,
): Schema[] {
  if (binding.body === '*') return [];
  const bound = new Set(
    [...binding.variables.values()].map(({ fields }) => fields.map((field) => field.name).join('.')),
  );
  if (binding.body !== null) bound.add(binding.body.name);
  return listQueryFields(input, [], bound).map((fields) => {
    const field = fields.at(-1)!;
    return {
      name: fields.map(({ jsonName }) => jsonName).join('.'),
      in: 'query',
      ...(fields.every((each) => rules.isRequired(each)) ? { required: true } : {}),
      ...describe(commentOf(field)),
      schema: withoutDescription(book.ofField(field)),
    };
  });
}

function listQueryFields(message: DescMessage, above: readonly DescField[], bound: ReadonlySet<string>): DescField[][] {
  if (above.length >= MAX_QUERY_DEPTH) return [];
  return message.fields.flatMap((field) => {
    const fields = [...above, field];
    if (bound.has(fields.map(({ name }) => name).join('.'))) return [];
    if (isLeaf(field)) return [fields];
    const repeats = above.some((each) => each.message === field.message);
    return field.fieldKind === 'message' && !repeats ? listQueryFields(field.message, fields, bound) : [];
  });
}

/** Null where the binding takes no body. */
export function requestBodyOf(input: DescMessage, binding: HttpBinding, book: SchemaBook): Schema | null {
  if (binding.body === null) return null;
  const schema = binding.body === '*' ? wholeBodyOf(input, binding, book) : book.ofField(binding.body);
  return { required: true, content: { 'application/json': { schema } } };
}

/** The request without what the path says. */
function wholeBodyOf(input: DescMessage, binding: HttpBinding, book: SchemaBook): Schema {
  const bound = [...binding.variables.values()]
    .filter(({ fields }) => fields.length === 1)
    .map(({ fields }) => fields[0]!);
  return bound.length === 0 ? book.ofMessage(input) : book.objectOf(input, new Set(bound));
}

/** A parameter says it beside its schema. */
function withoutDescription({ description: _, ...schema }: Schema): Schema {
  return schema;
}
