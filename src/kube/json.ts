/** https://tc39.es/proposal-json-parse-with-source/; in Node since version 21, in no TypeScript library yet. */
const { rawJSON } = JSON as unknown as { readonly rawJSON: (text: string) => unknown };

/** A value as JSON. A `bigint` is written as a number with all its digits: Kubernetes' `int64` goes beyond what a `number` holds. */
export function jsonOf(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) =>
    typeof part === 'bigint' ? rawJSON(String(part)) : part,
  );
}
