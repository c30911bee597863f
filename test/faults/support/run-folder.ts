// The folder of one run: configs, logs and journals of its processes.
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';

export function makeRunFolder(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'sluice-faults-'));
}

/** `SLUICE_TEST_KEEP` names a folder that it is copied to. */
export async function removeRunFolder(folder: string): Promise<void> {
  const keep = process.env['SLUICE_TEST_KEEP'];
  if (keep) await cp(folder, join(keep, basename(folder)), { recursive: true });
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
}
