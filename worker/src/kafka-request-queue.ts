import { createRequire } from 'node:module';

/** What is used of kafkajs 2.2.4's `network/requestQueue`. */
interface RequestQueue {
  readonly pending: readonly unknown[];
  scheduleCheckPendingRequests(): void;
}

/** Ours, to be known again: every transport asks for the change. */
const calmed = new WeakSet<object>();

/**
 * kafkajs 2.2.4 sets a timer after each response although nothing is pending, with a negative delay that Node makes 1 ms
 * and warns of: some 3 % of a core for each connection. Here the timer is set only where something waits. A gateway in the
 * same process replaces the same method to the same end: whichever comes last, an idle queue sets no timer.
 * @returns false, and changes nothing, where kafkajs is not as known
 */
export function calmRequestQueue(load: (path: string) => unknown = createRequire(import.meta.url)): boolean {
  const prototype = findPrototype(load);
  if (typeof prototype?.scheduleCheckPendingRequests !== 'function') return false;
  const schedule = prototype.scheduleCheckPendingRequests;
  if (calmed.has(schedule)) return true;
  const scheduleWherePending = function (this: RequestQueue) {
    if (this.pending.length > 0) schedule.call(this);
  };
  calmed.add(scheduleWherePending);
  prototype.scheduleCheckPendingRequests = scheduleWherePending;
  return true;
}

function findPrototype(load: (path: string) => unknown): RequestQueue | null {
  try {
    return (load('kafkajs/src/network/requestQueue/index.js') as { prototype?: RequestQueue }).prototype ?? null;
  } catch {
    return null;
  }
}
