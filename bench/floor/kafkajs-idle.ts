// kafkajs 2.2.4 keeps a 1 ms timer running on every idle connection: after each answer it schedules a look at the
// requests that wait, with a negative delay when nothing is throttled, and the look schedules the next one. With
// nothing waiting there is nothing to look at; a request that has to wait schedules the look itself.
import { createRequire } from 'node:module';

interface RequestQueue {
  pending: unknown[];
  scheduleCheckPendingRequests(): void;
}

const require = createRequire(import.meta.url);
const { prototype } = require('kafkajs/src/network/requestQueue') as { prototype: RequestQueue };
const schedule = prototype.scheduleCheckPendingRequests;

prototype.scheduleCheckPendingRequests = function scheduleWhenWaiting(this: RequestQueue) {
  if (this.pending.length > 0) schedule.call(this);
};
