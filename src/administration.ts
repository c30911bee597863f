/** What operators may do with operations where no gateway runs: the store alone, opened by this process. */
import { randomBytes } from 'node:crypto';
import type { Config } from './config.ts';
import { createFold } from './operations/fold.ts';
import { type Administration, Administrator } from './operations/resource/administration.ts';
import { cancelOperation } from './operations/resource/cancel.ts';
import { redriveOperation } from './operations/resource/redrive.ts';
import { replyTopicOf, type Tools } from './stack.ts';
import { createStore } from './store/store.ts';

export interface OpenAdministration {
  readonly administration: Administration;
  close(): Promise<void>;
}

/**
 * Nothing is published from here: what was cancelled or sent again is told, and sent, by the next gateway that does the
 * chores. Throws `StoreError`, and `FolderLockedError` where a gateway has the folder of the embedded database.
 */
export async function openAdministration(config: Config, tools: Tools): Promise<OpenAdministration> {
  const { clock, logger } = tools;
  const { retentionMs, lifecycleEvents } = config.operations;
  const bootId = randomBytes(8).toString('hex');
  const replyTopic = replyTopicOf(config, bootId);
  // No reply is settled from here, so there is no result to be checked.
  const fold = createFold({ retentionMs, checkResult: () => null });
  const { maxResultBytes: maxPageBytes } = config.grpc;
  const options = { ...config.store, bootId, replyTopic, lifecycleEvents, maxPageBytes };
  const store = await createStore(options, { fold, clock, logger });
  const nowMs = () => clock.wallMs();
  const cancelling = { changes: store, nowMs, bootId, dispatcher: null, teller: null };
  const redriving = { changes: store, nowMs, bootId: null, takeUp: async () => undefined, timeoutOf: () => null };
  const administration = new Administrator({
    reads: store,
    cancel: (operation) => cancelOperation(operation, cancelling),
    redrive: (operation) => redriveOperation(operation, redriving),
  });
  return {
    administration,
    close: () => store.close(),
  };
}
