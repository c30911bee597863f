// Setup file of every test file: what the file opens it closes. After its last test the timers, sockets, servers and
// child processes that would keep a process alive must be back to what they were before its first.
import { afterAll } from 'vitest';

// Taken now: a test may put fake timers in their place and forget to take them away.
const { setTimeout: startTimer, performance: clock } = globalThis;

const settleTimeoutMs = 5_000;
/** Requests to the system that end by themselves and things that belong to vitest's own channel to its parent. */
const ignored = new Set(['FSReqCallback', 'FSReqPromise', 'GetAddrInfoReqWrap', 'Immediate', 'PipeWrap', 'TTYWrap']);

type Counts = Map<string, number>;

function countResources(): Counts {
  const counts: Counts = new Map();
  for (const type of process.getActiveResourcesInfo()) {
    if (!ignored.has(type)) counts.set(type, (counts.get(type) ?? 0) + 1);
  }
  return counts;
}

function findSurplus(before: Counts): string[] {
  const surplus: string[] = [];
  for (const [type, count] of countResources()) {
    const more = count - (before.get(type) ?? 0);
    if (more > 0) surplus.push(`${more} ${type}`);
  }
  return surplus;
}

/** Sockets and servers with their ports, so that an error says which one was left open. Not in Node's types. */
function describeHandles(): string {
  const { _getActiveHandles: list } = process as unknown as { _getActiveHandles?: () => unknown[] };
  return (list?.call(process) ?? [])
    .map((handle) => describeHandle(handle as Handle))
    .filter((text) => text !== '')
    .join(', ');
}

interface Handle {
  remotePort?: number;
  localPort?: number;
  spawnfile?: string;
  address?: () => { port?: number } | string | null;
}

function describeHandle(handle: Handle): string {
  if (handle.spawnfile !== undefined) return `process ${handle.spawnfile}`;
  if (handle.remotePort !== undefined) return `socket from port ${handle.localPort} to ${handle.remotePort}`;
  const address = handle.address?.();
  return address && typeof address === 'object' && address.port ? `server or socket on port ${address.port}` : '';
}

const before = countResources();

afterAll(async () => {
  const end = clock.now() + settleTimeoutMs;
  // Sockets close over several turns of the loop, so the question is asked until the answer is good.
  while (findSurplus(before).length > 0 && clock.now() < end) {
    await new Promise<void>((resolve) => startTimer(resolve, 10).unref?.());
  }
  const surplus = findSurplus(before);
  if (surplus.length === 0) return;
  throw new Error(
    `the test file leaks what it opened: ${surplus.join(', ')} (open: ${describeHandles() || 'no sockets'})`,
  );
}, 30_000);
