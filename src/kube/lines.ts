const NEWLINE = 0x0a;

/**
 * Cuts a byte stream into lines. Works on bytes, so that a character cut between two chunks is whole again by the
 * time its line is decoded, and looks at every byte once, however many chunks a long line comes in.
 */
export class LineSplitter {
  #rest: Buffer[] = [];

  /** Calls `onLine` with every line that the chunk completes, without its newline; empty lines are left out. */
  push(chunk: Buffer, onLine: (line: string) => void): void {
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      const line = this.#take(chunk.subarray(start, end));
      start = end + 1;
      if (line !== '') onLine(line);
    }
    if (start < chunk.length) this.#rest.push(chunk.subarray(start));
  }

  #take(tail: Buffer): string {
    if (this.#rest.length === 0) return tail.toString('utf8').trim();
    const whole = Buffer.concat([...this.#rest, tail]);
    this.#rest = [];
    return whole.toString('utf8').trim();
  }
}
