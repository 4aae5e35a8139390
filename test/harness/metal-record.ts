/** Records ARP and NDP as the client sees them, with the kernel's timestamps, and reads the recordings. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ARP_OP, decodeArp } from '../../providers/metal/wire/codec/arp.ts';
import { ipText, macText } from '../../providers/metal/wire/codec/address.ts';
import { decodeNdp, NA_FLAG, NDP_TYPE } from '../../providers/metal/wire/codec/ndp.ts';
import type { MetalLab } from './metal-lab.ts';
import type { LabProcess } from './metal-process.ts';

/** A frame about one address. */
export interface NeighbourFrame {
  /** Milliseconds since the epoch, by the kernel. */
  readonly atMs: number;
  /** `gratuitous`: told to all without having been asked. `probe`: who asks has no address, or asks for its own. */
  readonly kind: 'request' | 'answer' | 'gratuitous' | 'probe';
  readonly family: 'IPv4' | 'IPv6';
  /** The address that it is about. */
  readonly address: string;
  /** Who sent it. */
  readonly mac: string;
  /** The MAC that it claims for the address; that of `mac` unless somebody cheats. */
  readonly claims?: string;
}

const FILTER = 'arp or (icmp6 and (ip6[40] == 135 or ip6[40] == 136))';
let recordings = 0;

/** A recording under way. */
export class Recorder {
  readonly #tcpdump: LabProcess;
  readonly #file: string;

  private constructor(tcpdump: LabProcess, file: string) {
    this.#tcpdump = tcpdump;
    this.#file = file;
  }

  /** Begins to record on `eth0` of the client, or of a node; from when it returns nothing is missed. */
  static async start(lab: MetalLab, where = 'client'): Promise<Recorder> {
    const name = `tcpdump-${recordings++}`;
    const file = join(lab.dir, `${name}.pcap`);
    const options = [
      '-i',
      'eth0',
      '-n',
      '-p',
      '-U',
      '--immediate-mode',
      '-B',
      '8192',
      '-Z',
      'root',
      '-w',
      file,
    ];
    const tcpdump = lab.start(where, name, ['tcpdump', ...options, FILTER]);
    await tcpdump.until('it listens', async () => (await tcpdump.log()).includes('listening on'));
    return new Recorder(tcpdump, file);
  }

  /** What has been recorded so far. */
  async frames(): Promise<readonly NeighbourFrame[]> {
    return readPcap(await readFile(this.#file));
  }

  /** Ends the recording and returns all of it. */
  async stop(): Promise<readonly NeighbourFrame[]> {
    this.#tcpdump.signal('SIGINT');
    await this.#tcpdump.ended;
    return await this.frames();
  }

  /** Waits until a frame is seen. @throws Error when there is none within `limitMs`. */
  async until(
    what: string,
    matches: (frame: NeighbourFrame) => boolean,
    limitMs = 30_000,
  ): Promise<NeighbourFrame> {
    let found: NeighbourFrame | undefined;
    await this.#tcpdump.until(
      what,
      async () => (found = (await this.frames()).find(matches)) !== undefined,
      limitMs,
    );
    if (found === undefined) throw new Error(`not seen: ${what}`);
    return found;
  }
}

/** Frames of a capture in pcap's format (microseconds, this machine's byte order); what is cut off at its end is left out. */
export function readPcap(file: Uint8Array): readonly NeighbourFrame[] {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const frames: NeighbourFrame[] = [];
  for (let at = 24; at + 16 <= file.length;) {
    const length = view.getUint32(at + 8, true);
    if (at + 16 + length > file.length) break;
    const atMs = view.getUint32(at, true) * 1_000 + view.getUint32(at + 4, true) / 1_000;
    const frame = neighbourFrame(file.subarray(at + 16, at + 16 + length), atMs);
    if (frame !== undefined) frames.push(frame);
    at += 16 + length;
  }
  return frames;
}

function neighbourFrame(bytes: Uint8Array, atMs: number): NeighbourFrame | undefined {
  const arp = decodeArp(bytes);
  if (!('fault' in arp)) {
    const [sender, target] = [ipText(arp.spa), ipText(arp.tpa)];
    const base = { atMs, family: 'IPv4', mac: macText(arp.source) } as const;
    if (sender === target) return { ...base, kind: 'gratuitous', address: sender, claims: macText(arp.sha) };
    if (arp.op === ARP_OP.reply)
      return { ...base, kind: 'answer', address: sender, claims: macText(arp.sha) };
    return { ...base, kind: sender === '0.0.0.0' ? 'probe' : 'request', address: target };
  }
  const ndp = decodeNdp(bytes);
  if ('fault' in ndp) return undefined;
  const mac = macText(ndp.ethernet.source);
  const base = { atMs, family: 'IPv6', mac, address: ipText(ndp.target) } as const;
  if (ndp.type === NDP_TYPE.solicitation)
    return { ...base, kind: ndp.source.every((byte) => byte === 0) ? 'probe' : 'request' };
  const claims = ndp.linkLayer === undefined ? mac : macText(ndp.linkLayer);
  return { ...base, claims, kind: (ndp.flags & NA_FLAG.solicited) === 0 ? 'gratuitous' : 'answer' };
}
