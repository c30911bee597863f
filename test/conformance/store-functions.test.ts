import { expect, it } from 'vitest';
import { loadCall, loadMigrations } from '../../src/store/statements.ts';
import { describeStores } from '../support/store.ts';

const HOT = ['insert-operations', 'lock-operations', 'write-operations'];

describeStores('functions of the database', (get) => {
  it.each(HOT)('%s is called with as many parameters as it has', async (name) => {
    const { database } = get();
    const call = loadCall(name);
    const [, called] = /FROM sluice\.([a-z0-9_]+)\(/.exec(call) ?? [];
    const rows = await database.query<{ count: number }>(
      "SELECT pronargs::int AS count FROM pg_proc WHERE proname = $1::text AND pronamespace = 'sluice'::regnamespace",
      [called],
    );
    expect(rows).toEqual([{ count: call.split('$').length - 1 }]);
  });

  it('stand in the history of migrations under the names by which they are called', () => {
    const names = loadMigrations().map(({ name }) => name);
    for (const name of HOT) expect(names.some((made) => loadCall(name).includes(`${made}(`))).toBe(true);
  });
});
