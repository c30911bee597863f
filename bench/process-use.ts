// What the system says that a process uses.
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { promisify } from 'node:util';

/** User and system time so far of a process with all its threads. */
export async function readCpuMicros(pid: number): Promise<number> {
  if (!existsSync(`/proc/${pid}/stat`)) return readCpuMicrosByPs(pid);
  return (await readStat(pid)).ownMicros;
}

/** The same of a process, of its children that live and of those that ended; NaN where there is no /proc. */
export async function readFamilyCpuMicros(pid: number): Promise<number> {
  if (!existsSync(`/proc/${pid}/stat`)) return Number.NaN;
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  // One that ends meanwhile is counted with its parent the next time.
  const stats = await Promise.all(pids.map((one) => readStat(one).catch(() => null)));
  const { ownMicros, endedMicros } = await readStat(pid);
  const children = stats.filter((stat) => stat?.parent === pid);
  return children.reduce((sum, child) => sum + child!.ownMicros, ownMicros + endedMicros);
}

export function readRssMib(pid: number): number {
  const file = `/proc/${pid}/status`;
  if (!existsSync(file)) return Number.NaN;
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(file, 'utf8'))?.[1]) / 1024;
}

/** Fields 4 and 14 to 17 of proc(5); times are in ticks of 10 ms on every Linux that Node runs on. */
async function readStat(pid: number): Promise<{ parent: number; ownMicros: number; endedMicros: number }> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = text.slice(text.lastIndexOf(') ') + 2).split(' ');
  const ticks = (index: number) => Number(fields[index]);
  return {
    parent: Number(fields[1]),
    ownMicros: (ticks(11) + ticks(12)) * 10_000,
    endedMicros: (ticks(13) + ticks(14)) * 10_000,
  };
}

async function readCpuMicrosByPs(pid: number): Promise<number> {
  const { stdout } = await promisify(execFile)('ps', ['-o', 'time=', '-p', String(pid)]);
  const seconds = stdout
    .trim()
    .split(':')
    .reduce((sum, part) => sum * 60 + Number(part), 0);
  return seconds * 1_000_000;
}
