/** What somebody may have meant by a name that nobody knows. */

/** The known name that is at most three edits away, if any. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  const [best] = ranked(known, (candidate) => editDistance(name, candidate));
  return best !== undefined && best.distance <= 3 ? best.name : undefined;
}

/** The end of a sentence about an unknown key: the known one that is near, whatever its case, or all. */
export function suggestion(key: string, known: readonly string[]): string {
  const [best] = ranked(known, (name) => editDistance(key.toLowerCase(), name.toLowerCase()));
  const near = best !== undefined && best.distance <= Math.min(3, Math.floor(best.name.length / 2));
  return near ? `did you mean ${best.name}?` : `known here: ${known.join(', ')}`;
}

function ranked(
  known: readonly string[],
  distanceTo: (name: string) => number,
): readonly { readonly name: string; readonly distance: number }[] {
  return known
    .map((name) => ({ name, distance: distanceTo(name) }))
    .toSorted((a, b) => a.distance - b.distance);
}

/** Levenshtein distance, for "did you mean". */
export function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, substitution));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
