import type { Failure } from '../runtime/failure.ts';

/**
 * Whether an error tells what became of the command, the same over every edge. `delivery` speaks of this request. A request
 * to one of our own routes that is refused has sent nothing, and that may be said; a store that is away while a status is
 * read, or an operation of which nothing is kept any more, must not read as "the command was not sent".
 * @param concernsCommand whether the request was a call of a command; false on our own routes.
 */
export function saysDelivery(failure: Failure, concernsCommand: boolean): boolean {
  if (concernsCommand || failure.operationId !== null) return true;
  return failure.httpStatus < 500 && failure.code !== 'OPERATION_GONE';
}
