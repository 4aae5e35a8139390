import { CommandFailed } from '../errors.ts';
import { paintFor, type Terminal } from '../terminal.ts';

/** Tells a story of checks. */
export interface Teller {
  /** A chapter begins. */
  chapter(title: string): void;
  /** Something worth knowing that is no check. */
  note(line: string): void;
  /** A check. @throws CommandFailed when it does not hold, which ends the story. */
  check(holds: boolean, text: string): void;
  /** How many checks held so far. */
  readonly held: number;
}

/** Tells for people: one line each, or for programs: one JSON object a line, on standard output. */
export function tellerFor(terminal: Terminal, json: boolean): Teller {
  const paint = paintFor(terminal);
  let chapter = '';
  let number = 0;
  let held = 0;
  const line = (text: string, event: object): void => {
    terminal.out.write(json ? `${JSON.stringify(event)}\n` : text);
  };
  return {
    get held() {
      return held;
    },
    chapter(title) {
      chapter = title;
      number += 1;
      line(`\n${paint('strong', `${number}. ${title}`)}\n`, { chapter });
    },
    note: (text) => line(`     ${paint('dim', text)}\n`, { chapter, note: text }),
    check(holds, text) {
      line(`   ${holds ? paint('good', '✓') : paint('bad', '✗')} ${text}\n`, { chapter, check: text, holds });
      if (!holds) throw new CommandFailed(`the demo failed at "${chapter}": ${text}`);
      held += 1;
    },
  };
}
