import type { Failure } from '../runtime/failure.ts';

/** An empty list for a name with a slip in it would look like an answer. @throws what `refuse` makes. */
export function refuseUnknownCommand(
  command: string | null,
  commands: ReadonlyMap<string, unknown>,
  refuse: (detail: string) => Failure,
): void {
  if (command === null || commands.has(command)) return;
  throw refuse('is no command of the contract, expected one such as "orders.v1.Orders/CreateOrder"');
}
