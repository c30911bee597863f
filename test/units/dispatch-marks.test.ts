import { describe, expect, it, vi } from 'vitest';
import { eventOf } from '../../src/operations/events.ts';
import type { ChangeWriter } from '../../src/operations/outbox/change-writer.ts';
import { DispatchMarks } from '../../src/operations/outbox/dispatch-marks.ts';
import { FakeClock } from '../support/fake-clock.ts';

const mark = eventOf('dispatched', 0, { published: { partition: 0, offset: 1n } });

function setUp() {
  const clock = new FakeClock();
  const write = vi.fn(async () => undefined);
  const marks = new DispatchMarks({ write } as unknown as ChangeWriter, { delayMs: 50 }, { clock });
  return { clock, write, marks };
}

async function isSettled(promise: Promise<void>): Promise<boolean> {
  let settled = false;
  void promise.then(() => {
    settled = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  return settled;
}

describe('a mark that a command is on the log', () => {
  it('is written when no reply came meanwhile', async () => {
    const { clock, write, marks } = setUp();
    const written = marks.add('a', mark);
    clock.advance(49);
    expect(write).not.toHaveBeenCalled();
    clock.advance(1);
    expect(write).toHaveBeenCalledWith({ operationId: 'a', events: [mark] });
    await written;
    expect(clock.pendingTimers).toBe(0);
  });

  it('costs nothing where the settlement takes it along', async () => {
    const { clock, write, marks } = setUp();
    const written = marks.add('a', mark);
    expect(marks.takeAlong('a')).toBe(mark);
    clock.advance(1000);
    expect(await isSettled(written)).toBe(false);
    marks.complete('a');
    await written;
    expect(write).not.toHaveBeenCalled();
  });

  it('is written after all where the settlement fails', async () => {
    const { clock, write, marks } = setUp();
    const written = marks.add('a', mark);
    marks.takeAlong('a');
    marks.putBack('a');
    clock.advance(50);
    await written;
    expect(write).toHaveBeenCalledTimes(1);
  });

  it('is taken along by one settlement, and by none while it is being written', () => {
    const { clock, marks } = setUp();
    void marks.add('a', mark);
    void marks.add('b', mark);
    marks.takeAlong('a');
    expect(marks.takeAlong('a')).toBeNull();
    clock.advance(50);
    expect(marks.takeAlong('b')).toBeNull();
    expect(marks.takeAlong('c')).toBeNull();
  });

  it('does not hold up a stop: it is written at once, or left to the settlement that has it', async () => {
    const { clock, write, marks } = setUp();
    const waiting = marks.add('a', mark);
    const settling = marks.add('b', mark);
    marks.takeAlong('b');
    marks.hurry();
    await Promise.all([waiting, settling, marks.add('c', mark)]);
    expect(write.mock.calls).toEqual([[{ operationId: 'a', events: [mark] }], [{ operationId: 'c', events: [mark] }]]);
    expect(clock.pendingTimers).toBe(0);
  });
});
