/**
 * npm starts a script through a shell, and a shell that is told to end does not tell the script: it would go on alone,
 * with its ports and its data folder. Whoever runs under npm therefore ends when its parent is gone, as on SIGTERM.
 */
export function endWithNpm(): void {
  if (process.env['npm_lifecycle_event'] === undefined) return;
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    process.kill(process.pid, 'SIGTERM');
  }, 500);
  timer.unref();
}
