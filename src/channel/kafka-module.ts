/** What has taken the place of a module of kafkajs: so it does so once, also where several clients are made. */
const ours = new WeakSet<object>();

/**
 * Puts `make(original)` in the place of a function that a module of kafkajs exports, in memory. `usedBy` is the module that
 * takes the function, and keeps what it found: once that one is loaded it is too late. Returns false, and changes nothing,
 * where kafkajs is not as known or has sent already.
 */
export function replaceModule<Exported extends object>(
  require: NodeJS.Require,
  { path, usedBy }: { readonly path: string; readonly usedBy: string },
  make: (original: Exported) => Exported,
): boolean {
  try {
    const file = require.resolve(path);
    const original = require(file) as Exported;
    if (ours.has(original)) return true;
    const module = require.cache[file];
    if (typeof original !== 'function' || module === undefined) return false;
    if (require.cache[require.resolve(usedBy)] !== undefined) return false;
    const made = make(original);
    ours.add(made);
    module.exports = made;
    return true;
  } catch {
    return false;
  }
}
