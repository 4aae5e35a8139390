/** Records ARP and NDP as the client sees them, with the kernel's timestamps, and reads the recordings. */
import { type FileHandle, open } from 'node:fs/promises';
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
/** Bytes before the first frame of a capture, and before each frame. */
const PCAP_HEADER = 24;
const FRAME_HEADER = 16;
let recordings = 0;

/** A recording under way. */
export class Recorder {
  readonly #tcpdump: LabProcess;
  readonly #file: FileHandle;
  readonly #frames: NeighbourFrame[] = [];
  /** How much of the file has been read. */
  #position = PCAP_HEADER;
  #reading: Promise<void> = Promise.resolve();

  private constructor(tcpdump: LabProcess, file: FileHandle) {
    this.#tcpdump = tcpdump;
    this.#file = file;
  }

  /** Begins to record on `eth0` of the client, or of a node; from when it returns nothing is missed. */
  static async start(lab: MetalLab, where = 'client'): Promise<Recorder> {
    const name = `tcpdump-${recordings++}`;
    const file = join(lab.dir, `${name}.pcap`);
    // A short snapshot, because the buffer has as many places as snapshots fit in.
    const sizes = ['-s', '128', '-B', '16384'];
    const options = ['-i', 'eth0', '-n', '-p', '-U', '--immediate-mode', ...sizes, '-Z', 'root', '-w', file];
    const tcpdump = lab.start(where, name, ['tcpdump', ...options, FILTER]);
    await tcpdump.until('it listens', async () => (await tcpdump.log()).includes('listening on'));
    return new Recorder(tcpdump, await open(file));
  }

  /** What has been recorded so far; the same list each time, which grows. */
  async frames(): Promise<readonly NeighbourFrame[]> {
    this.#reading = this.#reading.then(() => this.#readOn());
    await this.#reading;
    return this.#frames;
  }

  /** Ends the recording and returns all of it. @throws Error when frames were lost, because then it proves nothing. */
  async stop(): Promise<readonly NeighbourFrame[]> {
    this.#tcpdump.signal('SIGINT');
    await this.#tcpdump.ended;
    const frames = await this.frames();
    await this.#file.close();
    const dropped = /^(\d+) packets? dropped by kernel/m.exec(await this.#tcpdump.log())?.[1];
    if (dropped !== '0') throw new Error(`tcpdump lost ${dropped ?? 'an unknown number of'} frames`);
    return frames;
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

  async #readOn(): Promise<void> {
    const { size } = await this.#file.stat();
    if (size <= this.#position) return;
    const bytes = Buffer.alloc(size - this.#position);
    const { bytesRead } = await this.#file.read(bytes, 0, bytes.length, this.#position);
    const { frames, consumed } = readFrames(bytes.subarray(0, bytesRead));
    // Not spread into one call: a busy second holds more frames than a call may have arguments.
    for (const frame of frames) this.#frames.push(frame);
    this.#position += consumed;
  }
}

/**
 * Frames of a capture in pcap's format (microseconds, this machine's byte order) after its header, and how many bytes
 * they take; a frame that is cut off at the end is left for later.
 */
function readFrames(file: Uint8Array): { frames: NeighbourFrame[]; consumed: number } {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const frames: NeighbourFrame[] = [];
  let at = 0;
  while (at + FRAME_HEADER <= file.length) {
    const end = at + FRAME_HEADER + view.getUint32(at + 8, true);
    if (end > file.length) break;
    const atMs = view.getUint32(at, true) * 1_000 + view.getUint32(at + 4, true) / 1_000;
    const frame = neighbourFrame(file.subarray(at + FRAME_HEADER, end), atMs);
    if (frame !== undefined) frames.push(frame);
    at = end;
  }
  return { frames, consumed: at };
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
