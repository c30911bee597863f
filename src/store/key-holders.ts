import type { KeyHolder, KeyScope } from '../operations/store-ports.ts';
import type { Queryable } from './database.ts';
import { type OperationRow, stripNul, toOperation } from './operation-row.ts';
import { loadStatement } from './statements.ts';

const READ = loadStatement('read-keys');

interface KeyRow extends OperationRow {
  readonly idempotency_key: string;
  readonly fingerprint: Uint8Array | null;
}

/** In order; null where nobody has the key. Throws `StoreError`. */
export async function readHolders(
  database: Queryable,
  keys: readonly KeyScope[],
): Promise<readonly (KeyHolder | null)[]> {
  if (keys.length === 0) return [];
  const scopes = new Map(keys.map((scope) => [nameOf(scope), scope]));
  const unique = [...scopes.values()];
  const rows = await database.query<KeyRow>(READ, [
    unique.map(({ principal }) => stripNul(principal)),
    unique.map(({ command }) => command),
    unique.map(({ key }) => stripNul(key)),
  ]);
  const holders = new Map(rows.map((row) => [nameOf({ ...row, key: row.idempotency_key }), toHolder(row)]));
  return keys.map((scope) => holders.get(nameOf(scope)) ?? null);
}

function toHolder(row: KeyRow): KeyHolder {
  return {
    operation: toOperation(row),
    fingerprint: row.fingerprint ?? new Uint8Array(),
  };
}

function nameOf({ principal, command, key }: KeyScope): string {
  return JSON.stringify([stripNul(principal), command, stripNul(key)]);
}
