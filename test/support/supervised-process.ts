// A server process that cannot outlive the process which started it, not even when that one is killed with -9.
// The server runs behind a shell that reads its stdin: the kernel closes the pipe when the parent dies, in
// whatever way, and the shell then ends the server and removes its folder. The shell has a session of its own,
// so that a Ctrl-C at the terminal reaches only the parent, which stops its servers in order.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';

export interface ProcessSpec {
  command: string[];
  /** Output of the server goes here; its tail is quoted in errors. */
  logFile: string;
  /** How the shell ends the server when the parent is gone. `$child` is its pid. */
  endWith?: string;
  /** Removed by the shell after the parent is gone. */
  folder?: string;
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  uid?: number;
  gid?: number;
}

export interface SupervisedProcess {
  pid: number;
  /** True until the server has ended. */
  isAlive(): boolean;
  /** Of the server, as a shell tells it (128 and the number of a signal); null while it runs. */
  exitCode(): number | null;
  signal(name: NodeJS.Signals): void;
  /** Ends the server at once (or with the signal named) and resolves when it is gone. */
  end(name?: NodeJS.Signals): Promise<void>;
  /** The last lines of the server's output, for errors. */
  readLogTail(): string;
}

// An asynchronous command of a shell has /dev/null as its stdin, hence the copy on descriptor 3.
const script = (endWith: string) => `
exec 3<&0
folder=$1; log=$2; shift 2
"$@" </dev/null 3<&- >>"$log" 2>&1 &
child=$!
echo "$child"
exec >/dev/null
( cat <&3; trap '' TERM; ${endWith}; [ -z "$folder" ] || { while kill -0 "$child" 2>/dev/null; do sleep 0.05; done; rm -rf "$folder"; } ) &
watcher=$!
exec 3<&-
wait "$child"
status=$?
kill "$watcher" 2>/dev/null
exit "$status"
`;

/** Starts the server; resolves when the shell has told its pid (not when the server answers). */
export async function startSupervised(spec: ProcessSpec): Promise<SupervisedProcess> {
  const args = ['-c', script(spec.endWith ?? 'kill -KILL "$child"'), 'sh', spec.folder ?? '', spec.logFile];
  const shell = spawn('/bin/sh', [...args, ...spec.command], {
    detached: true,
    stdio: ['pipe', 'pipe', 'ignore'],
    ...(spec.cwd !== undefined && { cwd: spec.cwd }),
    ...(spec.env !== undefined && { env: spec.env }),
    ...(spec.uid !== undefined && { uid: spec.uid }),
    ...(spec.gid !== undefined && { gid: spec.gid }),
  });
  const ended = once(shell, 'close');
  ended.catch(() => undefined);
  return superviseShell(shell, await readPid(shell), ended, spec.logFile);
}

function superviseShell(shell: ChildProcess, pid: number, ended: Promise<unknown>, logFile: string): SupervisedProcess {
  const isAlive = () => shell.exitCode === null && shell.signalCode === null;
  const signal = (name: NodeJS.Signals) => {
    // The shell waits for the server, so while the shell lives the pid is not another process's.
    if (isAlive()) killQuietly(pid, name);
  };
  const end = async (name: NodeJS.Signals = 'SIGKILL') => {
    signal(name);
    await ended;
    shell.stdin?.destroy();
  };
  return { pid, isAlive, exitCode: () => shell.exitCode, signal, end, readLogTail: () => readTail(logFile) };
}

async function readPid(shell: ChildProcess): Promise<number> {
  let text = '';
  for await (const chunk of shell.stdout!) {
    text += String(chunk);
    if (text.includes('\n')) break;
  }
  const pid = Number(text);
  if (!Number.isInteger(pid) || pid < 2) throw new Error('the supervising shell did not start its server');
  return pid;
}

function killQuietly(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

function readTail(logFile: string): string {
  try {
    return readFileSync(logFile, 'utf8').split('\n').slice(-30).join('\n');
  } catch {
    return '(no output)';
  }
}
