import { describe, expect, it, vi } from 'vitest';
import { silentLogger } from '../../src/runtime/log.ts';
import type { Database } from '../../src/store/database.ts';
import { SchemaGate } from '../../src/store/schema-gate.ts';
import { notReached, statementFailed } from '../../src/store/store-error.ts';
import { FakeClock } from '../support/fake-clock.ts';

function openGate(outcomes: (Error | null)[]) {
  const clock = new FakeClock();
  const prepare = vi.fn(async () => {
    const outcome = outcomes.shift() ?? null;
    if (outcome !== null) throw outcome;
    return ['0001'];
  });
  const inner = {
    query: vi.fn(async () => []),
    execute: vi.fn(async () => undefined),
    transaction: vi.fn(async () => undefined),
    health: () => null,
    close: async () => undefined,
  };
  const gate = new SchemaGate(prepare, { clock, logger: silentLogger });
  return { clock, prepare, inner, gate, database: gate.guard(inner as unknown as Database) };
}

const away = () => notReached('no connection to the database: refused');

/** A round of the event loop, in which an attempt that was set off ends. */
const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

describe('the gate before the schema', () => {
  it('lets nothing reach a database that is not prepared, and says that nothing was written', async () => {
    const { inner, gate, database } = openGate([away()]);
    await gate.start();
    const refused = expect.objectContaining({ name: 'StoreError', certainlyNotWritten: true });
    await expect(database.query('SELECT 1', [])).rejects.toEqual(refused);
    await expect(database.execute('SELECT 1')).rejects.toEqual(refused);
    await expect(database.transaction(async () => undefined)).rejects.toEqual(refused);
    for (const method of [inner.query, inner.execute, inner.transaction]) expect(method).not.toHaveBeenCalled();
    expect(database.health()).toMatch(/refused/);
    await gate.close();
  });

  it('opens once preparation works, with growing pauses between attempts', async () => {
    const { clock, prepare, gate, database } = openGate([away(), away(), away()]);
    await gate.start();
    for (const [pauseMs, attempts] of [
      [249, 1],
      [1, 2],
      [499, 2],
      [1, 3],
      [1_000, 4],
    ] as const) {
      clock.advance(pauseMs);
      await settled();
      expect(prepare).toHaveBeenCalledTimes(attempts);
    }
    expect(database.health()).toBeNull();
    await expect(database.query('SELECT 1', [])).resolves.toEqual([]);
    expect(clock.pendingTimers).toBe(0);
  });

  it('throws what waiting cannot mend', async () => {
    const denied = statementFailed(Object.assign(new Error('password authentication failed'), { code: '28P01' }));
    const { clock, gate } = openGate([denied]);
    await expect(gate.start()).rejects.toBe(denied);
    expect(clock.pendingTimers).toBe(0);
  });

  it('waits for a server that is starting up', async () => {
    const starting = statementFailed(Object.assign(new Error('the database system is starting up'), { code: '57P03' }));
    const { clock, gate, database } = openGate([starting]);
    await gate.start();
    clock.advance(250);
    await settled();
    expect(database.health()).toBeNull();
  });

  it('tries no more once it is closed', async () => {
    const { clock, prepare, gate } = openGate([away()]);
    await gate.start();
    await gate.close();
    clock.advance(60_000);
    expect(prepare).toHaveBeenCalledTimes(1);
    expect(clock.pendingTimers).toBe(0);
  });
});
