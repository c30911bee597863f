import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Database } from '../../src/store/database.ts';
import { migrate } from '../../src/store/migrate.ts';
import { loadMigrations } from '../../src/store/statements.ts';
import { openDatabase, type Store } from '../../src/store/store.ts';
import { anInvocation, beatUntil, beatUntilHome, startCore, type TestCore } from '../support/core.ts';
import { openStoreOn, TEST_STORE_CONFIG, testStoreDeps } from '../support/store-parts.ts';

const TOPIC = 'replies';
const TABLES = ['operation', 'operation_event', 'lease'];

describe('a database that has lost its last commits', () => {
  let database: Database;
  let store: Store;
  let core: TestCore;

  beforeEach(async () => {
    database = await openDatabase(TEST_STORE_CONFIG, testStoreDeps);
    await migrate(database, loadMigrations());
    store = openStoreOn(database, { replyTopic: TOPIC });
    core = await startCore(store, TOPIC);
    await beatUntilHome(core);
  });
  afterEach(async () => {
    await core.stop();
    await store.close();
  });

  const save = async () => {
    for (const table of TABLES) await database.execute(`CREATE TABLE saved_${table} AS SELECT * FROM sluice.${table}`);
  };
  const goBack = async () => {
    for (const table of TABLES)
      await database.execute(`DELETE FROM sluice.${table}; INSERT INTO sluice.${table} SELECT * FROM saved_${table}`);
  };
  const stateOf = async (id: string) => (await store.read([id]))[0]?.state;
  /** A call that waits in vain and is promised. */
  async function promote(): Promise<string> {
    const call = core.operations.invoke(anInvocation({ wait: { kind: 'for', waitMs: 1000 } }));
    core.channel.sent.at(-1)?.ack.resolve({ partition: 0, offset: 1n });
    core.clock.advance(1000);
    const outcome = await call;
    if (outcome.kind !== 'pending') throw new Error(`not promised: ${outcome.kind}`);
    return outcome.operation.id;
  }

  it('is given the replies again that it had settled, also to calls that were promised and had ended', async () => {
    const id = await promote();
    await save();
    core.channel.reply('result');
    await vi.waitFor(async () => expect(await stateOf(id)).toBe('succeeded'));

    const adopt = vi.spyOn(core.channel, 'adopt');
    await goBack();
    expect(await stateOf(id)).not.toBe('succeeded');
    await beatUntil(core, () => expect(adopt).toHaveBeenCalledWith(0, 0n));
    core.channel.reply('result', { position: { topic: TOPIC, partition: 0, offset: 0n } });
    await beatUntil(core, async () => expect(await stateOf(id)).toBe('succeeded'));
  });

  it('goes on settling what comes afterwards', async () => {
    await save();
    const before = await promote();
    core.channel.reply('result');
    await vi.waitFor(async () => expect(await stateOf(before)).toBe('succeeded'));
    await goBack();
    expect(await stateOf(before)).toBeUndefined();
    const adopt = vi.spyOn(core.channel, 'adopt');
    await beatUntil(core, () => expect(adopt).toHaveBeenCalledWith(0, 0n));
    const after = await promote();
    core.channel.reply('result');
    await beatUntil(core, async () => expect(await stateOf(after)).toBe('succeeded'));
  });
});
