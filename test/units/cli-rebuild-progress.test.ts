import { expect, it } from 'vitest';
import type { Document } from '../../src/cli/operations-desk.ts';
import { tellProgress } from '../../src/cli/rebuild-progress.ts';
import { FakeClock } from '../support/fake-clock.ts';

/** A rebuild that goes on until it is ended, and who watches it. */
function watch(isTTY: boolean, ask: () => Promise<Document>) {
  const clock = new FakeClock();
  const written: string[] = [];
  const report = Promise.withResolvers<string>();
  const output = { isTTY, write: (text: string) => written.push(text) };
  const answer = tellProgress(report.promise, { desk: { ask }, output, clock });
  /** Lets a question that was asked be answered. */
  const pass = async (ms: number) => {
    clock.advance(ms);
    await new Promise<void>((resolve) => setImmediate(resolve));
  };
  return { clock, written, report, answer, pass };
}

const CLEAR = '\r\u001b[K';

it('on a terminal one line says how far it is, and is gone before the report', async () => {
  let compared = 0;
  const { clock, written, report, answer, pass } = watch(true, async () => ({ running: true, compared: ++compared }));
  await pass(999);
  expect(written).toEqual([]);
  await pass(1);
  await pass(1000);
  expect(written).toEqual([`${CLEAR}1 operations compared so far`, `${CLEAR}2 operations compared so far`]);
  report.resolve('report');
  expect(await answer).toBe('report');
  expect(written.at(-1)).toBe(CLEAR);
  expect(clock.pendingTimers).toBe(0);
});

it('in a log a line now and then says so, without control characters', async () => {
  const { written, report, answer, pass } = watch(false, async () => ({ running: true, compared: 70_000 }));
  await pass(9999);
  expect(written).toEqual([]);
  await pass(1);
  report.resolve('report');
  await answer;
  expect(written).toEqual(['70000 operations compared so far\n']);
});

it('a short rebuild says nothing, and neither does one of a gateway that does not tell', async () => {
  const short = watch(true, async () => ({ running: true, compared: 5 }));
  short.report.resolve('report');
  await short.answer;
  expect([short.written, short.clock.pendingTimers]).toEqual([[], 0]);
  const old = watch(true, () => Promise.reject(new Error('expected POST (METHOD_NOT_ALLOWED)')));
  await old.pass(1000);
  await old.pass(1000);
  old.report.reject(new Error('the gateway has gone'));
  await expect(old.answer).rejects.toThrow('the gateway has gone');
  expect([old.written, old.clock.pendingTimers]).toEqual([[], 0]);
});

it('an answer about the progress that comes after the report is not printed over it', async () => {
  const asked = Promise.withResolvers<Document>();
  const { clock, written, report, answer, pass } = watch(true, () => asked.promise);
  await pass(1000);
  report.resolve('report');
  await answer;
  asked.resolve({ running: true, compared: 3 });
  await pass(1000);
  expect([written, clock.pendingTimers]).toEqual([[], 0]);
});
