import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { type Command, plainError, type Report } from '../protocol.ts';
import { read } from '../sys/libc.ts';
import { readGateways } from './gateways.ts';
import type { Heart } from './heart.ts';
import type { Station } from './station.ts';

/** What commands work on. */
export interface CommandsParts {
  readonly port: MessagePort;
  /** Becomes readable when there are commands. */
  readonly wake: number;
  readonly station: Station;
  readonly heart: Heart | undefined;
  readonly report: (report: Report) => void;
  readonly stop: (goodbye: boolean) => void;
}

type HeartCommand = Extract<Command, { type: 'peers' | 'digest' | 'send' | 'handover' | 'goodbye' }>;

/** Carries out what the main thread asks for, in its order. A command that fails is reported and ends nothing. */
export class Commands {
  readonly #parts: CommandsParts;
  readonly #counter = new Uint8Array(8);

  constructor(parts: CommandsParts) {
    this.#parts = parts;
  }

  /** Carries out everything that waits. */
  read(): void {
    read(this.#parts.wake, this.#counter, this.#counter.length);
    for (;;) {
      const received = receiveMessageOnPort(this.#parts.port) as { message: Command } | undefined;
      if (received === undefined) return;
      this.#command(received.message);
    }
  }

  #command(command: Command): void {
    try {
      this.#obey(command);
    } catch (error) {
      if ('id' in command) this.#parts.report({ type: 'refused', id: command.id, error: plainError(error) });
      else this.#parts.report({ type: 'fault', error: plainError(error) });
    }
  }

  #obey(command: Command): void {
    const { station, stop } = this.#parts;
    switch (command.type) {
      case 'announce':
        station.announce(command.items);
        station.ports.apply();
        return this.#done(command.id);
      case 'withdraw':
        station.withdraw(command.addresses);
        return this.#done(command.id);
      case 'look':
        return station.look(command, (user) => this.#done(command.id, user));
      case 'forgetLook':
        return station.forgetLook(command.look);
      case 'rescan':
        station.ports.scan();
        return this.#done(command.id, station.ports.interfaces);
      case 'gateways':
        return this.#done(command.id, readGateways());
      case 'resume':
        return station.mute('stalled', false);
      case 'takeOver':
        return this.#takeOver(command.id);
      case 'stop':
        stop(command.goodbye);
        return this.#done(command.id);
      default:
        return this.#obeyHeart(command);
    }
  }

  #obeyHeart(command: HeartCommand): void {
    const { heart } = this.#parts;
    if (command.type === 'peers') return this.#setPeers(command);
    if (heart === undefined) return;
    switch (command.type) {
      case 'digest':
        return heart.peers.setDigest(command.digest);
      case 'send':
        return heart.send(command.kind, command.payload, command.node);
      case 'handover':
        return heart.relay.setHandover(command.payload);
      case 'goodbye':
        return heart.leave(command.payload);
    }
  }

  #setPeers({ id, peers }: HeartCommand & { type: 'peers' }): void {
    const unreachable = this.#parts.heart?.setPeers(peers) ?? [];
    if (unreachable.length > 0) {
      const message =
        `no heartbeats to ${unreachable.join(', ')}: the address is of another family than ours. ` +
        'Remedy: give every node an InternalIP of the same family.';
      this.#parts.report({ type: 'fault', error: { message } });
    }
    this.#done(id);
  }

  /** Heartbeats and answers begin before the predecessor is asked to end: both say the same, an overlap is harmless. */
  #takeOver(id: number): void {
    const { heart, station } = this.#parts;
    station.mute('following', false);
    heart?.speak();
    if (heart === undefined) this.#done(id);
    else heart.relay.takeOver(() => this.#done(id));
  }

  #done(id: number, result?: Extract<Report, { type: 'done' }>['result']): void {
    this.#parts.report({ type: 'done', id, result });
  }
}
