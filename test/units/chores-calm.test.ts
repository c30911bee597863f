import { beforeEach, describe, expect, it } from 'vitest';
import { Calm } from '../../src/chores/calm.ts';
import { FakeClock } from '../support/fake-clock.ts';

describe('who is dead is known', () => {
  let clock: FakeClock;
  let calm: Calm;

  beforeEach(() => {
    clock = new FakeClock();
    calm = new Calm({ periodMs: 8000 }, { clock });
  });

  function answerFor(totalMs: number, everyMs = 2000): void {
    for (let passedMs = 0; passedMs < totalMs; passedMs += everyMs) {
      clock.advance(everyMs);
      calm.noteAnswer();
    }
  }

  it('one lease time after the first answer: by then every living instance has beaten again', () => {
    calm.noteAnswer();
    answerFor(6000);
    expect(calm.isKnown).toBe(false);
    answerFor(2000);
    expect(calm.isKnown).toBe(true);
  });

  it('not for a lease time after a failure, however short the outage seemed from here', () => {
    calm.noteAnswer();
    answerFor(20_000);
    calm.noteFailure();
    expect(calm.isKnown).toBe(false);
    answerFor(8000);
    expect(calm.isKnown).toBe(false);
    answerFor(2000);
    expect(calm.isKnown).toBe(true);
  });

  it('not after a time in which nothing was asked: this instance was paused', () => {
    calm.noteAnswer();
    answerFor(20_000);
    clock.advance(5000);
    expect(calm.isKnown).toBe(false);
    calm.noteAnswer();
    expect(calm.isKnown).toBe(false);
  });
});
