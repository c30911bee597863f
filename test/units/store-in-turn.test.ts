import { describe, expect, it } from 'vitest';
import { InTurn } from '../../src/store/in-turn.ts';

/** Tasks that say when they begin, and end when they are told to. */
function tasks() {
  const inTurn = new InTurn();
  const begun: string[] = [];
  const ask = (name: string, keys: string[]) => {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const over = inTurn.run(keys, () => {
      begun.push(name);
      return promise;
    });
    return { over, end: () => resolve(name), fail: () => reject(new Error(name)) };
  };
  return { begun, ask };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('changes in turn', () => {
  it('wait for earlier ones of the same key only', async () => {
    const { begun, ask } = tasks();
    const [one, two, other] = [ask('one', ['a', 'b']), ask('two', ['b', 'c']), ask('other', ['d'])];
    const three = ask('three', ['c', 'a']);
    await turn();
    expect(begun).toEqual(['one', 'other']);
    one.end();
    await turn();
    expect(begun).toEqual(['one', 'other', 'two']);
    two.end();
    await turn();
    expect(begun).toEqual(['one', 'other', 'two', 'three']);
    three.end();
    other.end();
    expect(await Promise.all([one.over, two.over, three.over, other.over])).toEqual(['one', 'two', 'three', 'other']);
  });

  it('go on after one that fails', async () => {
    const { begun, ask } = tasks();
    const [one, two] = [ask('one', ['a']), ask('two', ['a'])];
    one.fail();
    await expect(one.over).rejects.toThrow('one');
    await turn();
    expect(begun).toEqual(['one', 'two']);
    two.end();
    expect(await two.over).toBe('two');
  });
});
