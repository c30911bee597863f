import { describe, expect, it } from 'vitest';
import type { ContractMessage } from '../../src/contract/command.ts';
import { hideDefect, OnlyRequest, readHops } from '../../src/edge/call-head.ts';
import { Failure } from '../../src/runtime/failure.ts';

describe('sluice-hops', () => {
  it.each([
    [null, 0],
    ['0', 0],
    ['8', 8],
    ['9999', 9999],
  ])('%s is %i', (text, hops) => expect(readHops(text)).toBe(hops));

  it.each(['', '-1', '1.5', '1e3', '10000', ' 1', '0x1', '1, 2'])('%j is refused by name', (text) => {
    const refusal = expect.objectContaining({
      code: 'HEADER_INVALID',
      violations: [{ header: 'sluice-hops', detail: expect.any(String) }],
    });
    expect(() => readHops(text)).toThrow(refusal);
  });
});

describe('the request of a unary call', () => {
  it('is read when it is pulled, and once', async () => {
    let reads = 0;
    const requests = new OnlyRequest(() => {
      reads += 1;
      return {} as ContractMessage;
    });
    expect(reads).toBe(0);
    const all: ContractMessage[] = [];
    for await (const request of requests) all.push(request);
    expect([all.length, reads]).toEqual([1, 1]);
  });

  it('that cannot be read rejects the pull, also where the reader throws at once', async () => {
    const requests = new OnlyRequest(() => {
      throw new Failure('REQUEST_MALFORMED', 'broken');
    });
    await expect(requests[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'REQUEST_MALFORMED' });
  });
});

describe('an error on its way to the caller', () => {
  const of = { command: 'a.B/C', requestId: 'r1' };

  it('that is a Failure goes as it is, and into no defect log', () => {
    const logged: unknown[] = [];
    const failure = new Failure('OVERLOADED', 'full');
    expect(hideDefect(failure, { recordDefect: (...line) => void logged.push(line) }, of)).toBe(failure);
    expect(logged).toEqual([]);
  });

  it('that is a defect of ours shows nothing of itself, and the log has it', () => {
    const logged: unknown[] = [];
    const defect = new Error('password=secret');
    const shown = hideDefect(defect, { recordDefect: (...line) => void logged.push(line) }, of);
    expect(shown).toMatchObject({ code: 'INTERNAL', delivery: 'unknown' });
    expect(shown.message).not.toContain('secret');
    expect(logged).toEqual([['a.B/C', 'r1', defect]]);
  });
});
