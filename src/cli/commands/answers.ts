/** Whether a leader's answer is a list of objects; versions that differ by more than that differ in their Lease, too. */
export function isList<T extends object>(value: unknown): value is readonly T[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'object' && item !== null);
}

/** The message without the remedy at its end, which is shown on a line of its own. */
export function withoutRemedy(message: string, remedy: string): string {
  const at = remedy === '' ? -1 : message.lastIndexOf(remedy);
  const tail = at < 0 ? '' : message.slice(at + remedy.length);
  return at > 0 && /^[.!?]?$/.test(tail) ? message.slice(0, at).trimEnd() : message;
}
