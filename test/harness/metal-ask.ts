import { fileURLToPath } from 'node:url';
import type { MetalLab } from './metal-lab.ts';
import type { LabProcess } from './metal-process.ts';

const CHILD = fileURLToPath(new URL('metal-ask-child.ts', import.meta.url));
let askers = 0;

/** Asks from the client who has certain addresses, again and again: broadcast ARP requests and NDP solicitations. */
export class Asker {
  /** Milliseconds between two requests for one address. */
  readonly intervalMs: number;
  readonly #child: LabProcess;
  #lists = 0;

  private constructor(child: LabProcess, intervalMs: number) {
    this.#child = child;
    this.intervalMs = intervalMs;
  }

  /** Starts it; it asks for nothing yet. */
  static async start(lab: MetalLab, { intervalMs = 10 }: { intervalMs?: number } = {}): Promise<Asker> {
    const { mac, ipv4, linkLocal } = lab.net.client;
    const name = `asker-${askers++}`;
    const program = [
      process.execPath,
      '--conditions=source',
      CHILD,
      String(intervalMs),
      mac,
      ipv4,
      linkLocal,
    ];
    const asker = new Asker(lab.start('client', name, program), intervalMs);
    await asker.ask([]);
    return asker;
  }

  /** Asks for these addresses from now on. */
  async ask(addresses: readonly string[]): Promise<void> {
    this.#lists += 1;
    this.#child.tell(['ask', ...addresses].join(' '));
    await this.#child.until(
      'it has taken its list',
      async () => (await this.#child.log()).split('asking').length > this.#lists,
    );
  }

  /** Ends it. */
  async stop(): Promise<void> {
    await this.#child.kill();
  }
}
