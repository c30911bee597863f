import { describe, expect, it } from 'vitest';
import { DatabaseHealth } from '../../src/store/database-health.ts';
import { statementFailed } from '../../src/store/store-error.ts';
import { FakeClock } from '../support/fake-clock.ts';

const failed = (code: string, message = 'no') => statementFailed(Object.assign(new Error(message), { code }), 'app');
const MINUTE_MS = 60_000;

function openHealth() {
  const clock = new FakeClock();
  return { clock, health: new DatabaseHealth(clock) };
}

describe('a statement that is refused', () => {
  it('is reported until the same one succeeds, whatever other ones do', () => {
    const { health } = openHealth();
    health.noteFailure('INSERT', failed('53100', 'could not extend file: No space left on device'));
    health.noteSuccess('SELECT');
    expect(health.describe()).toContain('No space left on device');
    health.noteSuccess('INSERT');
    expect(health.describe()).toBeNull();
  });

  it('is reported also where another one that had met the same goes through', () => {
    const { health } = openHealth();
    health.noteFailure('INSERT', failed('53100', 'No space left on device'));
    health.noteFailure('HEARTBEAT', failed('53100', 'No space left on device'));
    health.noteSuccess('HEARTBEAT');
    expect(health.describe()).toContain('No space left');
  });

  it('by a server that takes no writes is over for all once one of them is taken', () => {
    const { health } = openHealth();
    health.noteFailure('HEARTBEAT', failed('25006', 'read-only'));
    health.noteFailure('INSERT', failed('25006', 'read-only'));
    health.noteFailure('PURGE', failed('42501', 'permission denied'));
    health.noteSuccess('SELECT');
    health.noteSuccess('PURGE');
    expect(health.describe()).toContain('read-only');
    health.noteFailure('PURGE', failed('42501', 'permission denied'));
    health.noteSuccess('HEARTBEAT');
    expect(health.describe()).toContain('permission denied');
    health.noteSuccess('PURGE');
    expect(health.describe()).toBeNull();
  });

  it('is forgotten where nobody asks for it any more', () => {
    const { clock, health } = openHealth();
    health.noteFailure('INSERT', failed('42501'));
    clock.advance(5 * MINUTE_MS);
    expect(health.describe()).not.toBeNull();
    clock.advance(1);
    expect(health.describe()).toBeNull();
    health.noteFailure('INSERT', failed('42501'));
    expect(health.describe()).not.toBeNull();
  });

  it('is one of a bounded number, of which the newest is told', () => {
    const { health } = openHealth();
    for (let index = 0; index < 20; index++)
      health.noteFailure(`INSERT ${index}`, failed('42501', `refusal ${index}.`));
    expect(health.describe()).toContain('refusal 19.');
    for (let index = 19; index >= 4; index--) {
      expect(health.describe()).toContain(`refusal ${index}.`);
      health.noteSuccess(`INSERT ${index}`);
    }
    expect(health.describe()).toBeNull();
  });

  it.each(['25006', '42501', '42P01', '53100', '53200', '57014', '58030', 'XX000'])('counts by %s', (code) => {
    const { health } = openHealth();
    health.noteFailure('INSERT', failed(code));
    expect(health.describe()).not.toBeNull();
  });

  it.each(['22021', '23505', '25P02', '40P01', '54000', 'SL001'])('is no trouble of the database by %s', (code) => {
    const { health } = openHealth();
    health.noteFailure('INSERT', failed(code));
    expect(health.describe()).toBeNull();
  });

  it('says less than a connection that failed', () => {
    const { health } = openHealth();
    health.noteFailure('INSERT', failed('53100', 'disk full'));
    health.trouble = 'no connection to the database';
    expect(health.describe()).toBe('no connection to the database');
    health.trouble = null;
    expect(health.describe()).toContain('disk full');
  });
});

describe('the advice on a missing right', () => {
  const advice = (message: string, role: string | null = 'app') =>
    statementFailed(Object.assign(new Error(message), { code: '42501' }), role).message;

  it.each([
    ['permission denied for schema sluice', 'GRANT USAGE ON SCHEMA sluice TO app. The first gateway of a version'],
    ['permission denied for table operation', 'DELETE ON ALL TABLES IN SCHEMA sluice TO app ('],
    ['permission denied for sequence number', 'GRANT USAGE ON ALL SEQUENCES IN SCHEMA sluice TO app ('],
    ['permission denied for function insert_operations_1', 'GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA sluice TO app ('],
    ['permission denied for database my db', 'GRANT CREATE ON DATABASE "my db" TO app'],
    ['must be owner of table operation', 'start it as the owner of schema sluice, not as app'],
  ])('%s: %s', (message, expected) => {
    expect(advice(message)).toContain(message);
    expect(advice(message)).toContain(expected);
  });

  it('names all rights where the server speaks another language', () => {
    const text = advice('keine Berechtigung für Tabelle operation');
    for (const grant of ['GRANT USAGE ON SCHEMA', 'ON ALL TABLES', 'ON ALL SEQUENCES', 'ON ALL FUNCTIONS']) {
      expect(text).toContain(grant);
    }
  });

  it('names the role as SQL takes it, or says whose it is', () => {
    expect(advice('permission denied for table operation', 'my-"app"')).toContain('TO "my-""app"""');
    expect(advice('permission denied for table operation', null)).toContain('TO the user of DATABASE_URL');
  });

  it('is given for missing rights only', () => {
    expect(failed('42P01', 'relation does not exist').message).not.toContain('GRANT');
  });
});
