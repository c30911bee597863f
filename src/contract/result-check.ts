import { Failure } from '../runtime/failure.ts';
import type { Command } from './command.ts';

/** Says why a worker's result cannot be read as its command's reply; null where it can. */
export type ResultCheck = (
  command: string,
  result: { readonly value: Uint8Array | null; readonly contentType: string | null },
) => string | null;

/** A command that this contract lacks (a rolling deploy) passes: its result is kept as it came. */
export function createResultCheck(commands: ReadonlyMap<string, Command>): ResultCheck {
  return (name, result) => {
    const command = commands.get(name);
    if (command === undefined) return null;
    try {
      command.codec.replyFromWire(result.value, result.contentType);
      return null;
    } catch (error) {
      if (error instanceof Failure) return error.message;
      throw error;
    }
  };
}
