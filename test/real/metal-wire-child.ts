/**
 * A wire in a process of its own, for tests that stop, block or kill it. It is started inside of a namespace, tells its
 * events as lines of JSON, and obeys lines on its standard input:
 *
 *   announce ADDRESS … · block MILLISECONDS (the main thread stands still) · stop
 */
import { createInterface } from 'node:readline';
import { parseIp, type IpAddress } from '@berth/core';
import { startWire, type WireEvents, type WireOptions } from '../../providers/metal/wire/index.ts';

const EVENTS: readonly (keyof WireEvents)[] = [
  'heard',
  'gone',
  'goodbye',
  'stalled',
  'lapsed',
  'orphaned',
  'failed',
];

function say(event: string, detail: unknown): void {
  console.log(JSON.stringify({ event, detail: detail instanceof Error ? detail.message : detail }));
}

function address(text: string): IpAddress {
  const ip = parseIp(text);
  if (ip === undefined) throw new Error(`${text} is no address`);
  return ip;
}

interface ChildOptions extends Omit<WireOptions, 'heartbeat'> {
  readonly heartbeat?: Omit<NonNullable<WireOptions['heartbeat']>, 'key'> & { readonly key: string };
  readonly peers?: readonly { readonly node: string; readonly address: IpAddress }[];
}

const { peers = [], heartbeat, ...rest } = JSON.parse(process.argv[2] ?? '{}') as ChildOptions;
try {
  const key = heartbeat && Buffer.from(heartbeat.key);
  const wire = await startWire({
    ...rest,
    ...(heartbeat && key ? { heartbeat: { ...heartbeat, key } } : {}),
  });
  for (const event of EVENTS) wire.on(event, (detail: unknown) => say(event, detail));
  await wire.setPeers(peers);
  say('ready', { predecessor: wire.predecessor !== undefined });
  for await (const line of createInterface({ input: process.stdin })) {
    const [command, ...args] = line.split(' ');
    if (command === 'announce') {
      await wire.announce(args.map((text) => ({ address: address(text), burst: false })));
      say('announced', args);
    }
    if (command === 'block') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Number(args[0]));
    if (command === 'stop') break;
  }
  await wire.stop();
} catch (error) {
  say('refused', { name: (error as Error).name, message: (error as Error).message });
  process.exitCode = 1;
}
