// Calls with an Idempotency-Key whose answers say of which operation they are.
import { CommandError } from '@sluice/worker';
import type { Doors } from '../../support/doors.ts';
import type { Handlers } from '../../support/gateway.ts';
import type { RestAnswer } from '../../support/rest-caller.ts';

const LONG = { wait: '30s', max_wait: '30s' };

/** Nothing is promoted because the machine is slow. */
export const POLICIES = { Make: { ...LONG, idempotency_key: 'REQUIRED' }, Do: LONG, Keep: LONG };

interface Request {
  readonly key?: string;
  readonly text?: string;
}

/** Answers with the operation's id, so that two answers are equal only where they are of one operation. */
export function handlersBehind(doors: Doors): Handlers {
  const answer = async (
    { key, text }: Request,
    context: { operationId: string | null; setHeader(name: string, value: string): void },
  ) => {
    if (key) await doors.pass(key);
    context.setHeader('x-shelf', `shelf ${context.operationId}`);
    if (text?.includes('refused')) throw new CommandError('NOT_FOUND', `none for ${context.operationId}`);
    return { text: context.operationId };
  };
  return { Do: answer, Make: answer, Keep: answer, TellKept: () => undefined };
}

export const keyed = (key: string, prefer?: string) => ({
  'idempotency-key': `"${key}"`,
  ...(prefer ? { prefer } : {}),
});

/** What two answers of one operation have in common, wherever they were given: all but times and how far it had come. */
export function essenceOf({ status, headers, body }: RestAnswer) {
  const { createdAt, updatedAt, deadline, retainedUntil, state, progress, ...rest } = body;
  const kept = ['x-shelf', 'content-type', 'location', 'operation-location'];
  return { status, body: rest, headers: kept.map((name) => headers.get(name)) };
}
