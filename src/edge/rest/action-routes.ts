/** What may be asked of an operation: `POST /operations/{id}:cancel` and `:redrive`. */

import type { Command } from '../../contract/command.ts';
import { ANONYMOUS, isTerminal, type Operation } from '../../operations/operation.ts';
import { Failure } from '../../runtime/failure.ts';
import type { OperationResource } from '../call.ts';
import { refuseMethod } from './command-routes.ts';
import { answerJson, type Exchange, type RestAnswer } from './exchange.ts';
import type { Links } from './links.ts';
import { requireAcceptable } from './negotiate.ts';
import { requireOperationId } from './operations-routes.ts';
import { toRetrySeconds } from './problem.ts';
import { etagOf, writeStatusDocument } from './status-document.ts';

export interface ActionRoutesOptions {
  readonly commands: ReadonlyMap<string, Command>;
  readonly operations: Pick<OperationResource, 'cancel' | 'redrive'>;
  readonly links: Links;
  readonly pollAfterMs: number;
}

const VERBS = ['cancel', 'redrive'] as const;

/**
 * A page of another site can make a browser post without asking first, for a form needs no leave (Fetch standard, "CORS
 * protocol"); what it posts carries its own origin. Held against our own address and never against `Host`, which a name of
 * that site that was pointed at this machine would set. @throws Failure ADMIN_ONLY
 */
function refuseOtherSites(origin: string | null, self: string): void {
  if (origin === null || origin === new URL(self).origin) return;
  throw new Failure('ADMIN_ONLY', `requests of web pages of another site (Origin ${origin}) are refused here`);
}

export class ActionRoutes {
  readonly #options: ActionRoutesOptions;

  constructor(options: ActionRoutesOptions) {
    this.#options = options;
  }

  /** 200 with the operation as it stands then; a body is not read. @throws Failure */
  async serve(exchange: Exchange, id: string, text: string): Promise<RestAnswer> {
    const { incoming } = exchange;
    const verb = VERBS.find((known) => known === text);
    if (verb === undefined) throw new Failure('ROUTE_NOT_FOUND', 'an operation takes :cancel and :redrive only');
    exchange.route = `/operations/{id}:${verb}`;
    if (incoming.method !== 'POST') return refuseMethod(incoming.method, ['POST']);
    refuseOtherSites(incoming.header('origin'), this.#options.links.ofOperation(incoming, id).self);
    requireAcceptable(incoming.header('accept'));
    requireOperationId(id);
    const operation = await this.#options.operations[verb](id, ANONYMOUS);
    const body = this.#write(exchange, operation);
    return { ...answerJson(200, this.#headersOf(operation), body), operationId: id };
  }

  #headersOf(operation: Operation): Record<string, string> {
    const headers: Record<string, string> = { 'cache-control': 'no-store', etag: etagOf(operation) };
    if (!isTerminal(operation.state)) headers['retry-after'] = String(toRetrySeconds(this.#options.pollAfterMs));
    return headers;
  }

  #write({ incoming }: Exchange, operation: Operation): string {
    const command = this.#options.commands.get(operation.command) ?? null;
    return writeStatusDocument(operation, command, this.#options.links.ofOperation(incoming, operation.id));
  }
}
