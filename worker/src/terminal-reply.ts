import { type Clock, delay } from './clock.ts';
import type { Command } from './command.ts';
import { CommandError } from './errors.ts';
import type { Logger } from './log.ts';
import { addressReply, errorReply, type Reply } from './reply.ts';
import { type OutgoingRecord, SendError } from './transport.ts';

export interface ReplySender {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly send: (record: OutgoingRecord) => Promise<void>;
}

const RETRY_FULL_MS = 100;

/** True when the offset may move: acknowledged, or refused for good, which no redelivery would mend. Never rejects. */
export async function sendTerminal(command: Command, reply: Reply, sender: ReplySender): Promise<boolean> {
  const record = addressReply(command, reply);
  if (record === null) return true;
  for (;;) {
    try {
      await sender.send(record);
      return true;
    } catch (error) {
      if (!(error instanceof SendError) || error.reason === 'closed') return false;
      if (error.reason === 'too_large' && reply.kind === 'result')
        return sendTerminal(command, tooLarge(reply), sender);
      if (error.reason !== 'full') {
        sender.logger.error({ error, topic: record.topic, operationId: command.id }, 'reply refused by the bus');
        return true;
      }
      await delay(sender.clock, RETRY_FULL_MS);
    }
  }
}

/** The effect stands, so nothing in the code may invite to another try. */
function tooLarge(reply: Reply): Reply {
  const sizeBytes = reply.value?.length ?? 0;
  const message = `the command was carried out, but its result of ${sizeBytes} bytes is larger than the reply topic takes`;
  return errorReply(new CommandError('INTERNAL', message));
}
