/** All routes of the contract, behind one catch-all: the contract's router decides, not Hono's. */

import type { RouteMatch } from '../../contract/routes.ts';
import { RETRY_AFTER_MS } from '../../operations/failures.ts';
import { Failure } from '../../runtime/failure.ts';
import type { Handle } from '../call.ts';
import { type Matched, readCall } from './decode.ts';
import type { Exchange, RestAnswer } from './exchange.ts';
import type { Incoming } from './incoming.ts';
import type { Links } from './links.ts';
import { requireAcceptable } from './negotiate.ts';
import { parsePrefer } from './prefer.ts';
import { renderAnswer } from './render.ts';

export interface CommandRoutesOptions {
  readonly routes: { match(httpMethod: string, path: string): RouteMatch };
  readonly handle: Handle;
  readonly links: Links;
  readonly maxBodyBytes: number;
  readonly pollAfterMs: number;
  /** True once this instance takes no new calls. */
  readonly isDraining: () => boolean;
}

export class CommandRoutes {
  readonly #options: CommandRoutesOptions;

  constructor(options: CommandRoutesOptions) {
    this.#options = options;
  }

  /** @throws Failure */
  async serve(exchange: Exchange): Promise<RestAnswer> {
    const match = this.#match(exchange.incoming);
    if (match.kind === 'match') return this.#call(exchange, match);
    if (match.kind === 'not_found') throw new Failure('ROUTE_NOT_FOUND', 'no command and no route has this path');
    return refuseMethod(exchange.incoming.method, match.allow);
  }

  /** HEAD is GET without the body (RFC 9110 section 9.3.2), but where the contract binds it itself. */
  #match(incoming: Incoming): RouteMatch {
    const { routes } = this.#options;
    const match = routes.match(incoming.method, incoming.path);
    return match.kind === 'method_not_allowed' && incoming.method === 'HEAD'
      ? routes.match('GET', incoming.path)
      : match;
  }

  async #call(exchange: Exchange, matched: Matched): Promise<RestAnswer> {
    const { command, binding } = matched;
    exchange.route = binding.template.text;
    exchange.command = command.name;
    this.#refuseWhileDraining();
    requireAcceptable(exchange.incoming.header('accept'));
    const preferences = parsePrefer(exchange.incoming.header('prefer'));
    const answer = await this.#options.handle(readCall(exchange, matched, preferences, this.#options.maxBodyBytes));
    return renderAnswer(answer, {
      command,
      binding,
      preferences,
      linksOf: (id) => this.#options.links.ofOperation(exchange.incoming, id),
      pollAfterMs: this.#options.pollAfterMs,
    });
  }

  #refuseWhileDraining(): void {
    if (!this.#options.isDraining()) return;
    throw new Failure('NOT_READY', 'this instance is stopping', { retryAfterMs: RETRY_AFTER_MS });
  }
}

/** That a contract may bind, but for those of its own making. */
export const ALL_METHODS: readonly string[] = ['DELETE', 'GET', 'PATCH', 'POST', 'PUT'];

/** 405, or the answer to OPTIONS. `Allow` has what we add to the contract's own methods. */
export function refuseMethod(method: string, methods: readonly string[]): RestAnswer {
  const allow = [...new Set([...methods, ...(methods.includes('GET') ? ['HEAD'] : []), 'OPTIONS'])].sort();
  if (method !== 'OPTIONS') throw new Failure('METHOD_NOT_ALLOWED', `the path takes ${allow.join(', ')}`, { allow });
  const headers = { allow: allow.join(', ') };
  return { status: 204, headers, body: null, outcome: 'OK', delivery: null, operationId: null };
}
