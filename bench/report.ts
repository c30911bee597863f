// The medians of a benchmark as a table, and as files when asked.
import { mkdir, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import type { Measurement } from './measure.ts';
import type { Target } from './targets.ts';

function findMedian(numbers: number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** A Markdown table: a row a target, the median of its rounds, and its CPU a call and calls a second against the targets that judge it. */
export function renderReport(measurements: Measurement[], targets: Target[]): string {
  const medianOf = (name: string, read: (one: Measurement) => number) =>
    findMedian(measurements.filter(({ target }) => target === name).map(read));
  const measured = targets.filter(({ name }) => measurements.some(({ target }) => target === name));
  const rows = measured.map(({ name, judgedBy }) => {
    const median = (read: (one: Measurement) => number) => medianOf(name, read);
    const ratios = (read: (one: Measurement) => number) =>
      (judgedBy ?? [])
        .map((judge) => ({ judge, ratio: median(read) / medianOf(judge, read) }))
        .filter(({ ratio }) => !Number.isNaN(ratio))
        .map(({ judge, ratio }) => `${ratio.toFixed(2)} × ${judge}`)
        .join(', ');
    const cpu = (one: Measurement) => one.cpuMicros;
    const rate = (one: Measurement) => one.callsPerSecond;
    const database = median(({ postgresMicros }) => postgresMicros ?? Number.NaN);
    return [
      name,
      median(cpu).toFixed(1),
      ratios(cpu),
      Number.isNaN(database) ? '' : database.toFixed(1),
      median(rate).toFixed(0),
      ratios(rate),
      median(({ p50Ms }) => p50Ms).toFixed(2),
      median(({ p99Ms }) => p99Ms).toFixed(2),
      median(({ aloneP50Ms }) => aloneP50Ms).toFixed(2),
      median(({ rssMib }) => rssMib).toFixed(0),
    ];
  });
  const ofCpu = ['CPU µs/call', 'ratio', 'PostgreSQL µs/call'];
  const head = ['target', ...ofCpu, 'calls/s', 'ratio', 'p50 ms', 'p99 ms', 'alone p50 ms', 'RSS MiB'];
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

/** Writes `bench/results/<day>.json` and `.md`. */
export async function writeResults(measurements: Measurement[], targets: Target[], load: object): Promise<void> {
  const folder = new URL('results/', import.meta.url);
  await mkdir(folder, { recursive: true });
  const at = new Date().toISOString();
  const machine = { cpu: cpus()[0]?.model, cores: cpus().length, node: process.version, system: process.platform };
  const name = at.slice(0, 10);
  await writeFile(new URL(`${name}.json`, folder), `${JSON.stringify({ at, machine, load, measurements }, null, 2)}\n`);
  const words = `${at}, ${machine.cores} cores (${machine.cpu}), Node ${machine.node}. Load: ${JSON.stringify(load)}.`;
  await writeFile(new URL(`${name}.md`, folder), `${words}\n\n${renderReport(measurements, targets)}\n`);
}
