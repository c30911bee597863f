import { readFileSync } from 'node:fs';

const LOOK_MS = 500;

/**
 * npm starts a script through a shell, and a shell that is told to end does not tell the script: it would go on alone,
 * with its ports and its data folder. Whoever runs as a script of npm therefore ends when npm is gone, as on SIGTERM.
 * A process that npm did not start (systemd, an image) is left alone.
 */
export function endWithNpm(): void {
  if (process.env['npm_lifecycle_event'] === undefined) return;
  const started = describeAncestry();
  const timer = setInterval(() => {
    if (describeAncestry() === started) return;
    clearInterval(timer);
    process.kill(process.pid, 'SIGTERM');
  }, LOOK_MS);
  timer.unref();
}

/** The parent, and where it is npm's shell, npm: a shell whose npm was killed lives on and is adopted. */
function describeAncestry(): string {
  return `${process.ppid} ${readParentOfShell(process.ppid)}`;
}

/** Null where the process is no shell, or the system has no /proc to tell. */
function readParentOfShell(pid: number): number | null {
  try {
    const [, name = '', parent] = /\((.*)\) \S ([0-9]+) /s.exec(readFileSync(`/proc/${pid}/stat`, 'utf8')) ?? [];
    return name.endsWith('sh') ? Number(parent) : null;
  } catch {
    return null;
  }
}
