// The end of every run: loudly what was not run and why, then one plain last line, `N passed, N failed`.
import type { SerializedError } from 'vitest';
import type { Reporter, TestCase, TestModule, TestSuite } from 'vitest/node';

export interface RunSummary {
  passed: number;
  /** Failed tests, files and suites that failed as such, errors outside any test; skipped tests where none may be. */
  failed: number;
  /** Number of tests not run, by reason. */
  notRun: Map<string, number>;
}

/** Counts a finished run. With `requireAll` a test that was not run is a failed one. */
export function summarise(
  modules: ReadonlyArray<TestModule>,
  unhandled: ReadonlyArray<SerializedError>,
  requireAll: boolean,
): RunSummary {
  const summary: RunSummary = { passed: 0, failed: unhandled.length, notRun: new Map() };
  for (const module of modules) {
    if (module.errors().length > 0) summary.failed += 1;
    for (const suite of module.children.allSuites()) if (suite.errors().length > 0) summary.failed += 1;
    for (const test of module.children.allTests()) countTest(test, summary);
  }
  if (requireAll) for (const count of summary.notRun.values()) summary.failed += count;
  return summary;
}

function countTest(test: TestCase, summary: RunSummary): void {
  const { state } = test.result();
  if (state === 'passed') summary.passed += 1;
  else if (state === 'failed') summary.failed += 1;
  else {
    const reason = findReason(test);
    summary.notRun.set(reason, (summary.notRun.get(reason) ?? 0) + 1);
  }
}

function findReason(test: TestCase): string {
  const result = test.result();
  if (result.state === 'skipped' && result.note) return result.note;
  let at: TestCase | TestSuite | TestModule = test;
  while (at.type !== 'module') {
    const { notRun } = at.meta();
    if (notRun !== undefined) return notRun;
    at = at.parent;
  }
  return result.state === 'pending' ? `cut short in ${at.relativeModuleId}` : `skipped in ${at.relativeModuleId}`;
}

export function renderSummary(summary: RunSummary): string {
  const lines: string[] = [];
  if (summary.notRun.size > 0) {
    lines.push('', '!!! NOT RUN !!!');
    for (const [reason, count] of summary.notRun)
      lines.push(`!!! ${count} ${count === 1 ? 'test' : 'tests'}: ${reason}`);
    lines.push('');
  }
  lines.push(`${summary.passed} passed, ${summary.failed} failed`);
  return `${lines.join('\n')}\n`;
}

export default class SummaryReporter implements Reporter {
  /** Until the run has ended: it did not get to its end. */
  #summary: RunSummary = { passed: 0, failed: 1, notRun: new Map() };
  #listens = false;

  onInit(): void {
    if (this.#listens) return;
    this.#listens = true;
    // vitest prints more after its reporters have ended; only the exit of the process is last.
    process.once('exit', (code) => {
      // A failed global setup or a run without a file ends in an exit code alone.
      if (code !== 0 && this.#summary.failed === 0) this.#summary.failed = 1;
      process.stdout.write(renderSummary(this.#summary));
    });
  }

  /** At once, for a run that is cut off never gets to its summary. */
  onTestCaseResult(test: TestCase): void {
    const { state, errors } = test.result();
    if (state !== 'failed') return;
    const reasons = errors?.map(({ message, stack }) => `${message}\n${stack ?? ''}`.slice(0, 2_000)) ?? [];
    process.stdout.write(`FAILED ${test.fullName} (${test.module.relativeModuleId})\n${reasons.join('\n')}\n`);
  }

  onTestRunEnd(modules: ReadonlyArray<TestModule>, unhandled: ReadonlyArray<SerializedError>): void {
    this.#summary = summarise(modules, unhandled, process.env['SLUICE_REQUIRE_REAL'] === '1');
    if (this.#summary.failed > 0) process.exitCode = 1;
  }
}
