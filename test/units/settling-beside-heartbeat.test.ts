import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { createFold } from '../../src/operations/fold.ts';
import { StoreError } from '../../src/operations/store-ports.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { silentLogger } from '../../src/runtime/log.ts';
import { createStore, type Store } from '../../src/store/store.ts';
import { anInvocation, beatUntilHome, startCore, type TestCore } from '../support/core.ts';
import { PGLITE_IMAGE_FILE, TEST_STORE_CONFIG } from '../support/store-parts.ts';

const HEARTBEAT_MS = 2000;

describe('a reply that comes while the heartbeat writes the read position', () => {
  let store: Store;

  beforeAll(async () => {
    const fold = createFold({ retentionMs: 86_400_000, checkResult: () => null });
    const config = { ...TEST_STORE_CONFIG, replyTopic: 'replies', pgliteImageFile: PGLITE_IMAGE_FILE };
    store = await createStore(config, { fold, clock: systemClock, logger: silentLogger });
  });
  afterAll(() => store.close());

  it.each(['succeeds', 'fails'] as const)('is settled once the heartbeat %s', async (fate) => {
    const beat = Promise.withResolvers<void>();
    let held = 0;
    const core = await startCore({
      ...store,
      heartbeat: async (options) => {
        if (options.progress.length === 0) return store.heartbeat(options);
        held += 1;
        await beat.promise;
        if (fate === 'fails') throw new StoreError('connection refused', { certainlyNotWritten: true });
        return store.heartbeat(options);
      },
    });
    await beatUntilHome(core);
    await passUnrecordedReply(core);
    const outcome = await core.operations.invoke(anInvocation({ wait: { kind: 'none' } }));
    const id = outcome.kind === 'pending' ? outcome.operation.id : '';
    // The position is past the reply of the unrecorded call: the heartbeat has something to write.
    core.clock.advance(HEARTBEAT_MS);
    await vi.waitFor(() => expect(held).toBe(1));
    await vi.waitFor(() => expect(core.channel.sent).toHaveLength(2));
    core.channel.sent[1]?.ack.resolve({ partition: 0, offset: 1n });
    core.channel.reply('result', { value: Buffer.from('{}') });
    beat.resolve();
    await vi.waitFor(async () => expect((await store.read([id]))[0]?.state).toBe('succeeded'));
    await core.stop();
  });

  async function passUnrecordedReply(core: TestCore): Promise<void> {
    const answered = core.operations.invoke(anInvocation());
    await vi.waitFor(() => expect(core.channel.sent).toHaveLength(1));
    core.channel.reply('result', { value: Buffer.from('{}') });
    expect((await answered).kind).toBe('replies');
  }
});
