import { createRequire } from 'node:module';

/** What is used of kafkajs 2.2.4's `network/requestQueue`. */
interface RequestQueue {
  readonly pending: readonly unknown[];
  readonly throttledUntil: number;
  throttleCheckTimeoutId: NodeJS.Timeout | null;
  checkPendingRequests(): void;
}

interface RequestQueueClass {
  readonly prototype: RequestQueue & { scheduleCheckPendingRequests(): void };
}

/** As kafkajs has it: how soon a request that waits for a place is looked at again. */
const CHECK_INTERVAL_MS = 10;

/**
 * kafkajs 2.2.4 re-arms a timer after every response, also where nothing waits, with a delay in the past: Node makes 1 ms
 * of it, so every connection wakes the process a thousand times a second for as long as it lives, and Node 24 warns of a
 * negative timeout. There is no option for it. The method is replaced in memory by one that arms the timer only where a
 * request waits; nothing else of kafkajs looks at it. Returns false, and changes nothing, where kafkajs is not as known.
 */
export function calmRequestQueue(load: (path: string) => unknown = createRequire(import.meta.url)): boolean {
  let queueClass: Partial<RequestQueueClass>;
  try {
    queueClass = load('kafkajs/src/network/requestQueue/index.js') as Partial<RequestQueueClass>;
  } catch {
    return false;
  }
  const prototype = queueClass.prototype;
  if (typeof prototype?.scheduleCheckPendingRequests !== 'function') return false;
  if (typeof prototype.checkPendingRequests !== 'function') return false;
  prototype.scheduleCheckPendingRequests = scheduleCheckPendingRequests;
  return true;
}

function scheduleCheckPendingRequests(this: RequestQueue): void {
  if (this.throttleCheckTimeoutId !== null || this.pending.length === 0) return;
  const throttledForMs = this.throttledUntil - Date.now();
  const delayMs = throttledForMs > 0 ? throttledForMs : CHECK_INTERVAL_MS;
  this.throttleCheckTimeoutId = setTimeout(() => {
    this.throttleCheckTimeoutId = null;
    this.checkPendingRequests();
  }, delayMs);
}
