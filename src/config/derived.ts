/** Defaults that follow another setting: whoever changes that one alone is not asked to know of these. */
import type { ConfigValues } from './schema.ts';

/** @param isSet whether file or environment say something of the setting with this key. */
export function deriveDefaults(values: ConfigValues, isSet: (key: string) => boolean): ConfigValues {
  const { store, leases } = values;
  if (isSet('store.idle_in_transaction_timeout')) return values;
  const idleInTransactionTimeoutMs = Math.min(store.idleInTransactionTimeoutMs, Math.floor(leases.leaseMs / 2));
  return { ...values, store: { ...store, idleInTransactionTimeoutMs } };
}
