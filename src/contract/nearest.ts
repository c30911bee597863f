/** Levenshtein distance; 0 for equal texts. */
export function editDistance(left: string, right: string): number {
  let previous = Array.from({ length: right.length + 1 }, (_, column) => column);
  for (let row = 1; row <= left.length; row++) {
    const current = [row];
    for (let column = 1; column <= right.length; column++) {
      const substituted = previous[column - 1]! + (left[row - 1] === right[column - 1] ? 0 : 1);
      current.push(Math.min(substituted, previous[column]! + 1, current[column - 1]! + 1));
    }
    previous = current;
  }
  return previous[right.length]!;
}

/** The distance costs the product of both lengths, and a name may be a caller's. */
const MAX_NAME_LENGTH = 100;

/** The known name that `name` was most likely meant to be; null where none is at all like it. */
export function nearestName(name: string, known: Iterable<string>): string | null {
  if (name.length > MAX_NAME_LENGTH) return null;
  let best: string | null = null;
  let bestDistance = Math.max(2, Math.ceil(name.length / 2)) + 1;
  for (const candidate of known) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** ` (did you mean X?)`, or the list of what there is. */
export function suggestName(name: string, known: readonly string[]): string {
  const nearest = nearestName(name, known);
  if (nearest !== null) return ` (did you mean \`${nearest}\`?)`;
  return known.length === 0 || known.length > 20 ? '' : ` (known: ${known.join(', ')})`;
}
