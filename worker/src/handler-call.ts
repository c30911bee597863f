import type { Codec } from './codec.ts';
import type { Command } from './command.ts';
import { type CommandContext, createContext } from './context.ts';
import type { Logger } from './log.ts';
import type { Reply } from './reply.ts';
import type { SignsOfLife } from './signs-of-life.ts';

/** `Transaction`: see `CommandContext`. */
export type Handler<Request, Response, Transaction = null> = (
  request: Request,
  context: CommandContext<Transaction>,
) => Promise<Response> | Response;

export interface HandlerCall {
  readonly command: Command;
  readonly method: string;
  readonly handler: Handler<unknown, unknown, unknown>;
  readonly environment: { readonly codec: Codec; readonly logger: Logger };
  readonly signal: AbortSignal;
  readonly transaction: unknown;
  readonly signs: SignsOfLife;
}

/** Decodes, calls, encodes. @throws what the handler or the codec throws */
export async function callHandler(call: HandlerCall): Promise<Reply> {
  const { command, method, environment, signs } = call;
  const { context, responseHeaders } = createContext({
    method,
    command,
    signal: call.signal,
    transaction: call.transaction,
    logger: environment.logger,
    accepted: () => signs.accept(),
    progress: (progress) => signs.report(progress),
  });
  const { contentType } = command;
  const request = environment.codec.decodeRequest(method, { contentType, value: command.record.value });
  const response = await call.handler(request, context);
  const encoded = environment.codec.encodeResponse(method, response, contentType);
  return { kind: 'result', ...encoded, headers: responseHeaders() };
}
