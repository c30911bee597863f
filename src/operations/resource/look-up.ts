import { Failure } from '../../runtime/failure.ts';
import { isOperationId } from '../../runtime/ids.ts';
import { failureOfRead } from '../failures.ts';
import type { Operation } from '../operation.ts';
import type { OperationReads, RecordedEvent } from '../store-ports.ts';

/** Events of one answer about a history. */
const EVENT_PAGE = 200;

/** What the store does not say is an outage, for whoever asked. Throws `Failure` in place of `StoreError`. */
export async function askStore<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
  try {
    return await ask();
  } catch (error) {
    throw failureOfRead(error);
  }
}

/** Null where there is no row. Throws `Failure` `OPERATION_NOT_FOUND` of what can be no id, and `STORE_UNAVAILABLE`. */
export async function lookUp(reads: Pick<OperationReads, 'read'>, id: string): Promise<Operation | null> {
  if (!isOperationId(id)) throw new Failure('OPERATION_NOT_FOUND', 'an operation id is a UUIDv7 in lower case');
  const [operation] = await askStore(() => reads.read([id]));
  return operation ?? null;
}

/** At most 200, numbered after `afterNumber`, oldest first. Throws `Failure` `STORE_UNAVAILABLE`. */
export function readEventPage(
  reads: Pick<OperationReads, 'readEvents'>,
  id: string,
  afterNumber: number,
): Promise<readonly RecordedEvent[]> {
  return askStore(() => reads.readEvents(id, afterNumber, EVENT_PAGE));
}
