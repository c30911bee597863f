import type { Statement } from './database.ts';
import { loadStatement } from './statements.ts';

const NOTIFY = loadStatement('notify');
/** The server takes 7,999; the rest is for the sender's name. */
const MAX_IDS_BYTES = 7_800;

export const CHANGES_CHANNEL = 'sluice_changed';

/** What came on the channel. */
export type Notice =
  | { readonly kind: 'changed'; readonly from: string; readonly ids: readonly string[] }
  | { readonly kind: 'proof'; readonly from: string; readonly number: number };

/**
 * Notifications of what a transaction changed, for the waiters of other instances. Whoever is alone notifies nobody: a
 * notification costs every commit of every instance a lock of its own.
 */
export class ChangeNotices {
  readonly #bootId: string;
  /** Set from the heartbeat's list of those who live. */
  notifyOthers = false;

  constructor(bootId: string) {
    this.#bootId = bootId;
  }

  /** To be sent by the transaction that writes the change: it is heard when that commits. Null for nobody. */
  payloads(operationIds: readonly string[]): readonly string[] | null {
    return this.notifyOthers && operationIds.length > 0 ? writeChanges(this.#bootId, operationIds) : null;
  }

  proof(number: number): Statement {
    return { sql: NOTIFY, params: [[`${this.#bootId} proof ${number}`]] };
  }
}

export function writeChanges(bootId: string, operationIds: readonly string[]): readonly string[] {
  const payloads: string[] = [];
  let ids = '';
  for (const id of operationIds) {
    if (ids !== '' && ids.length + 1 + id.length > MAX_IDS_BYTES) {
      payloads.push(`${bootId} changed ${ids}`);
      ids = '';
    }
    ids = ids === '' ? id : `${ids},${id}`;
  }
  return ids === '' ? payloads : [...payloads, `${bootId} changed ${ids}`];
}

/** Null for what no gateway of ours has written. */
export function readNotice(payload: string): Notice | null {
  const [from, kind, text] = payload.split(' ');
  if (from === undefined || text === undefined) return null;
  if (kind === 'changed') return { kind, from, ids: text.split(',') };
  return kind === 'proof' ? { kind, from, number: Number(text) } : null;
}
