// A process whose wall clock is wrong and whose monotonic clock is right, by Debian's libfaketime.
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const FOLDER = '/usr/lib';

function findLibrary(): string | null {
  if (!existsSync(FOLDER)) return null;
  const folders = readdirSync(FOLDER).map((name) => join(FOLDER, name, 'faketime', 'libfaketime.so.1'));
  return folders.find((file) => existsSync(file)) ?? null;
}

export function findMissingFaketime(): string | null {
  return findLibrary() === null ? 'there is no libfaketime (apt-get install libfaketime)' : null;
}

/** Environment of a process whose clock is off by so much. */
export function shiftClock(offsetS: number): Record<string, string> {
  const library = findLibrary();
  if (library === null) throw new Error('no libfaketime');
  return {
    LD_PRELOAD: library,
    FAKETIME: `${offsetS >= 0 ? '+' : ''}${offsetS}s`,
    // Else timers and timeouts are faked too.
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
  };
}
