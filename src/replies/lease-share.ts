import type { PartitionCursor } from './partition-cursor.ts';
import type { HeartbeatResult } from './ports.ts';

/**
 * Rounded up, so that every partition has a reader; but down while an instance has none: else those who came before would
 * keep all between them, or take back what one of them gave up for the newcomer.
 */
export function shareOf({ leases, liveInstances }: HeartbeatResult): number {
  const owners = new Set(leases.map(({ owner }) => owner));
  const isSomeoneWithout = liveInstances.some((bootId) => !owners.has(bootId));
  const exact = leases.length / Math.max(liveInstances.length, 1);
  return isSomeoneWithout ? Math.max(1, Math.floor(exact)) : Math.ceil(exact);
}

/** May be given back: nothing of it is under way. */
export function isIdle(cursor: PartitionCursor | undefined): boolean {
  return cursor !== undefined && !cursor.writing && cursor.queued === 0;
}
