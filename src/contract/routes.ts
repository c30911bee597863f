/**
 * Which command a path belongs to: a tree over path segments, literals before `*` before `**` at each of them, so that of
 * two templates that match a path the more literal one wins, the leftmost difference deciding.
 */

import { Failure } from '../runtime/failure.ts';
import type { Command } from './command.ts';
import type { HttpBinding } from './http-rule.ts';
import type { TemplateVariable } from './http-template.ts';

export type RouteMatch =
  | {
      readonly kind: 'match';
      readonly command: Command;
      readonly binding: HttpBinding;
      /** Decoded text by the proto path of the field. */
      readonly variables: ReadonlyMap<string, string>;
    }
  | { readonly kind: 'method_not_allowed'; readonly allow: readonly string[] }
  | { readonly kind: 'not_found' };

export interface Route {
  readonly command: Command;
  readonly binding: HttpBinding;
}

interface Node {
  readonly literals: Map<string, Node>;
  one: Node | null;
  /** Templates whose last segment is `**`. */
  rest: Node | null;
  /** By verb (`''`: none), then by HTTP method. */
  readonly routes: Map<string, Map<string, Route>>;
}

const NO_VARIABLES: ReadonlyMap<string, string> = new Map();
const NOT_FOUND: RouteMatch = Object.freeze({ kind: 'not_found' });

export class Router {
  readonly #root = newNode();
  /** In the order in which they were added. */
  readonly routes: Route[] = [];

  /** @returns the route of the same method and shape that is there already, in which case nothing is added. */
  add(route: Route): Route | null {
    const { template, httpMethod } = route.binding;
    let node = this.#root;
    for (const segment of template.segments) {
      if (segment.kind === 'literal') node = getOrCreate(node.literals, segment.text, newNode);
      else if (segment.kind === 'one') node = node.one ??= newNode();
      else node = node.rest ??= newNode();
    }
    const methods = getOrCreate(node.routes, template.verb ?? '', () => new Map<string, Route>());
    const existing = methods.get(httpMethod);
    if (existing) return existing;
    methods.set(httpMethod, route);
    this.routes.push(route);
    return null;
  }

  /**
   * @param path without query, still percent-encoded.
   * @throws Failure REQUEST_MALFORMED for broken percent-encoding.
   */
  match(httpMethod: string, path: string): RouteMatch {
    const search = new Search(httpMethod, path);
    const route = search.find(this.#root);
    if (route) {
      const variables = captureVariables(route.binding, search.raw, search.verbLength(route));
      return { kind: 'match', command: route.command, binding: route.binding, variables };
    }
    return search.allow.size === 0 ? NOT_FOUND : { kind: 'method_not_allowed', allow: [...search.allow].sort() };
  }
}

/** One look-up. */
class Search {
  readonly #httpMethod: string;
  /** Still encoded, without the leading slash. */
  readonly raw: readonly string[];
  readonly #decoded: readonly string[];
  /** The last segment before its last colon, and what follows it; null without a colon. */
  readonly #verb: { readonly stem: string; readonly verb: string; readonly rawLength: number } | null;
  readonly allow = new Set<string>();

  constructor(httpMethod: string, path: string) {
    this.#httpMethod = httpMethod;
    this.raw = path.slice(1).split('/');
    this.#decoded = path.includes('%') ? this.raw.map(decodeSegment) : this.raw;
    this.#verb = splitVerb(this.raw.at(-1)!);
  }

  find(root: Node): Route | null {
    if (this.#verb && this.#verb.stem !== '') {
      const segments = [...this.#decoded.slice(0, -1), this.#verb.stem];
      const route = this.#descend(root, segments, 0, this.#verb.verb);
      if (route) return route;
    }
    return this.#descend(root, this.#decoded, 0, '');
  }

  verbLength(route: Route): number {
    return route.binding.template.verb === null ? 0 : this.#verb!.rawLength;
  }

  #descend(node: Node, segments: readonly string[], depth: number, verb: string): Route | null {
    if (depth === segments.length) {
      return this.#pick(node, verb) ?? (node.rest && this.#pick(node.rest, verb));
    }
    const segment = segments[depth]!;
    const literal = node.literals.get(segment);
    const route =
      (literal && this.#descend(literal, segments, depth + 1, verb)) ??
      (node.one && segment !== '' ? this.#descend(node.one, segments, depth + 1, verb) : null);
    return route ?? (node.rest && this.#pick(node.rest, verb));
  }

  #pick(node: Node, verb: string): Route | null {
    const methods = node.routes.get(verb);
    if (!methods) return null;
    const route = methods.get(this.#httpMethod) ?? methods.get('*');
    if (route) return route;
    for (const method of methods.keys()) this.allow.add(method);
    return null;
  }
}

/** Only a colon that is not encoded makes a verb. */
function splitVerb(rawSegment: string): { stem: string; verb: string; rawLength: number } | null {
  const colon = rawSegment.lastIndexOf(':');
  if (colon < 0) return null;
  const verb = decodeSegment(rawSegment.slice(colon + 1));
  return { stem: decodeSegment(rawSegment.slice(0, colon)), verb, rawLength: rawSegment.length - colon };
}

function captureVariables(
  binding: HttpBinding,
  raw: readonly string[],
  verbLength: number,
): ReadonlyMap<string, string> {
  const { variables } = binding.template;
  if (variables.length === 0) return NO_VARIABLES;
  const last = raw.at(-1)!;
  const segments = verbLength === 0 ? raw : [...raw.slice(0, -1), last.slice(0, -verbLength)];
  const captured = new Map<string, string>();
  for (const variable of variables) captured.set(variable.fieldPath, captureVariable(binding, variable, segments));
  return captured;
}

function captureVariable(binding: HttpBinding, variable: TemplateVariable, segments: readonly string[]): string {
  if (!variable.multiSegment) return decodeSegment(segments[variable.start]!);
  const toEnd = binding.template.segments[variable.end - 1]!.kind === 'rest';
  return segments
    .slice(variable.start, toEnd ? segments.length : variable.end)
    .map(decodeAllButSlash)
    .join('/');
}

/** "The server side does the reverse decoding, except %2F and %2f are left unchanged." */
function decodeAllButSlash(rawSegment: string): string {
  return rawSegment
    .split(/(%2F)/i)
    .map((part, index) => (index % 2 === 1 ? part : decodeSegment(part)))
    .join('');
}

function decodeSegment(rawSegment: string): string {
  if (!rawSegment.includes('%')) return rawSegment;
  try {
    return decodeURIComponent(rawSegment);
  } catch {
    throw new Failure('REQUEST_MALFORMED', `path segment "${rawSegment}" is not percent-encoded UTF-8`, {
      violations: [{ parameter: 'path', detail: `expected percent-encoded UTF-8, found "${rawSegment}"` }],
    });
  }
}

function newNode(): Node {
  return { literals: new Map(), one: null, rest: null, routes: new Map() };
}

function getOrCreate<Key, Value>(map: Map<Key, Value>, key: Key, create: () => Value): Value {
  const existing = map.get(key);
  if (existing !== undefined) return existing;
  const created = create();
  map.set(key, created);
  return created;
}
