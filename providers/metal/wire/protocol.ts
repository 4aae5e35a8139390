/** What passes between the main thread (`Wire`) and the worker (`worker.ts`). */
import type { MessagePort } from 'node:worker_threads';
import type {
  AddressUser,
  Gateway,
  Mac,
  MessageKind,
  WireEvents,
  WireInterface,
  WireOptions,
} from './types.ts';

/** What the worker is started with. */
export interface WorkerInput {
  readonly options: WireOptions;
  /** Commands arrive here; a write to `wake` of the `ready` report says that there are some. */
  readonly commands: MessagePort;
  /** Memory of `Counters`. */
  readonly counters: SharedArrayBuffer;
  /** One 32-bit number that the main thread counts up while it lives. */
  readonly ticks: SharedArrayBuffer;
}

/** One address to announce; `slot` are its counters. */
export interface AnnounceItem {
  readonly address: string;
  readonly slot: number;
  readonly interfaces?: readonly string[] | undefined;
  readonly burst: boolean;
}

/** A command of the main thread. Those with an `id` are answered by a `done` or `refused` report. */
export type Command =
  | { readonly type: 'announce'; readonly id: number; readonly items: readonly AnnounceItem[] }
  | { readonly type: 'withdraw'; readonly id: number; readonly addresses: readonly string[] }
  | {
      readonly type: 'look';
      readonly id: number;
      readonly mode: 'probe' | 'resolve';
      readonly address: string;
      readonly interfaces?: readonly string[] | undefined;
      readonly ignore: readonly Mac[];
    }
  | { readonly type: 'forgetLook'; readonly look: number }
  | { readonly type: 'rescan'; readonly id: number }
  | { readonly type: 'gateways'; readonly id: number }
  | {
      readonly type: 'peers';
      readonly id: number;
      readonly peers: readonly { node: string; address: string }[];
    }
  | { readonly type: 'digest'; readonly digest: Uint8Array }
  | {
      readonly type: 'send';
      readonly node?: string | undefined;
      readonly kind: MessageKind;
      readonly payload: Uint8Array;
    }
  | { readonly type: 'handover'; readonly payload: Uint8Array }
  | { readonly type: 'takeOver'; readonly id: number }
  | { readonly type: 'goodbye'; readonly payload: Uint8Array }
  | { readonly type: 'resume' }
  | { readonly type: 'stop'; readonly id: number; readonly goodbye: boolean };

/** An error on its way to the main thread: classified there. */
export interface PlainError {
  readonly message: string;
  /** The errno's name, when a call of the C library failed. */
  readonly code?: string | undefined;
  readonly call?: string | undefined;
}

/** What a command is answered with. */
export type Result = AddressUser | readonly Gateway[] | readonly WireInterface[] | undefined;

/** A report of the worker. */
export type Report =
  | {
      readonly type: 'ready';
      readonly wake: number;
      readonly nonce: string;
      readonly interfaces: readonly WireInterface[];
      readonly fastPath: boolean;
      readonly predecessor?: { readonly nonce: string; readonly payload: Uint8Array } | undefined;
    }
  | { readonly type: 'done'; readonly id: number; readonly result: Result }
  | { readonly type: 'refused'; readonly id: number; readonly error: PlainError }
  | { readonly type: 'handover'; readonly nonce: string; readonly payload: Uint8Array }
  | { readonly type: 'nonce'; readonly nonce: string }
  | { readonly type: 'fault'; readonly error: PlainError }
  | EventReport;

/** Events that carry no error. */
export type PlainEvent = Exclude<keyof WireEvents, 'fault' | 'failed'>;
/** An event to pass on as it is. */
export type EventReport = {
  readonly [E in PlainEvent]: {
    readonly type: 'event';
    readonly event: E;
    readonly detail: WireEvents[E][0];
  };
}[PlainEvent];

/** An error as plain data. */
export function plainError(error: unknown): PlainError {
  if (!(error instanceof Error)) return { message: String(error) };
  const { code, call } = error as { code?: unknown; call?: unknown };
  return {
    message: error.message,
    code: typeof code === 'string' ? code : undefined,
    call: typeof call === 'string' ? call : undefined,
  };
}
