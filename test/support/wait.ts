// Waiting for another process: a condition asked again until it holds, with an end.
import { createServer } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';

export interface WaitOptions {
  /** Named in the error. */
  what: string;
  timeoutMs: number;
  intervalMs?: number;
  /** Called before each try; throws to give up early (the process has died). */
  check?: () => void;
}

/** Calls `attempt` until it neither throws nor returns false; throws the last reason after `timeoutMs`. */
export async function waitUntil<T>(options: WaitOptions, attempt: () => Promise<T> | T): Promise<T> {
  const end = performance.now() + options.timeoutMs;
  for (;;) {
    options.check?.();
    const outcome = await tryOnce(attempt);
    if (outcome.done) return outcome.value;
    if (performance.now() > end) {
      throw new Error(`${options.what}: not within ${options.timeoutMs} ms`, { cause: outcome.reason });
    }
    await pause(options.intervalMs ?? 50);
  }
}

async function tryOnce<T>(
  attempt: () => Promise<T> | T,
): Promise<{ done: true; value: T } | { done: false; reason: unknown }> {
  try {
    const value = await attempt();
    return value === false ? { done: false, reason: new Error('condition not met') } : { done: true, value };
  } catch (reason) {
    return { done: false, reason };
  }
}

/**
 * Free TCP ports of 127.0.0.1, below the range from which the system takes the local ports of outgoing connections:
 * a server that is down between kill and restart must not find its port taken by a client that was trying to reach it.
 */
export async function findFreePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  for (let tries = 0; ports.size < count && tries < 200; tries++) {
    const port = 15_000 + Math.floor(Math.random() * 15_000);
    if (!ports.has(port) && (await isFree(port))) ports.add(port);
  }
  if (ports.size < count) throw new Error(`no ${count} free TCP ports between 15000 and 30000`);
  return [...ports];
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
