import { Transient, type ProcessHost } from '@berth/core';
import type { MetalConfig } from '../config.ts';
import { nodeChecks, type NodeReport } from '../doctor/node.ts';
import { fileText } from '../doctor/readers.ts';
import { startWire, type Wire } from '../wire/index.ts';
import { ClusterWatch } from './cluster.ts';
import { metricsText } from './metrics.ts';
import { readKey } from './secret.ts';
import { Speaker } from './speaker.ts';
import { clusterIdentity, ownAddress, requireNetRaw } from './startup.ts';
import { StatusWriter } from './status-writer.ts';

/** The class that is the provider's own. */
const OWN_CLASS = 'berth.dev/metal';
/** How long a polite end may take at most, in milliseconds. */
const LEAVE_MS = 1_500;
/** How long the wire keeps quiet after a stall, for claims that come in meanwhile. */
const RESUME_MS = 200;

/**
 * Runs the speaker of one node until `host.signal` aborts.
 *
 * Flow: key, identity and objects from the API server; sockets; the election. On the signal: goodbye, hand-over, end.
 * A speaker that is superseded by its successor on the node ends silently; where it would only be started again, it
 * waits for the signal without doing anything.
 *
 * @throws MissingCapability, HeartbeatUnavailable, Denied `SpeakerMisplaced`; Transient when the wire ends by itself.
 */
export async function runSpeaker(config: MetalConfig, host: ProcessHost): Promise<void> {
  requireNetRaw();
  const ended = new AbortController();
  const run = new SpeakerRun(config, host, ended.signal);
  try {
    await run.serve();
    await run.open();
    await run.until();
  } catch (error) {
    // Asked to stop before anything was announced.
    if (!host.signal.aborted) throw error;
  } finally {
    await run.close();
    ended.abort(new Error('the speaker has ended'));
  }
}

class SpeakerRun {
  readonly #config: MetalConfig;
  readonly #host: ProcessHost;
  readonly #signal: AbortSignal;
  readonly #over = Promise.withResolvers<'superseded'>();
  readonly #cluster: ClusterWatch;
  #wire: Wire | undefined;
  #speaker: Speaker | undefined;
  #writer: StatusWriter | undefined;
  #superseded = false;
  #endpoint: string | undefined;

  constructor(config: MetalConfig, host: ProcessHost, signal: AbortSignal) {
    this.#config = config;
    this.#host = host;
    this.#signal = signal;
    const { options, log, api } = host;
    const { classes, ignoreExcludeLabel } = options;
    const settings = { config, classes: [OWN_CLASS, ...classes], ignoreExcludeLabel, log };
    this.#cluster = new ClusterWatch(api, settings, () => this.#speaker?.clusterChanged());
  }

  async serve(): Promise<void> {
    const { endpoint } = await this.#host.serve({
      ready: () => this.#speaker?.ready ?? false,
      metrics: () =>
        this.#speaker === undefined ? '' : metricsText(this.#speaker.counts(), this.#wire?.stats()),
      answer: (question) =>
        question === 'doctor'
          ? this.#nodeReport()
          : question === 'announcements'
            ? this.#speaker?.report()
            : undefined,
    });
    this.#endpoint = endpoint;
  }

  /** What `berth doctor` wants to know of this node. */
  #nodeReport(): NodeReport | undefined {
    const wire = this.#wire;
    if (wire === undefined) return undefined;
    const { options, clock } = this.#host;
    const checks = nodeChecks(options.node, { interfaces: () => wire.interfaces(), file: fileText });
    return { node: options.node, now: new Date(clock.now()).toISOString(), checks };
  }

  /** Reads what is needed, opens the sockets and takes part. */
  async open(): Promise<void> {
    const { host } = { host: this.#host };
    const { options, signal, clock, log, api } = host;
    const [key, cluster] = await Promise.all([readKey(host), clusterIdentity(host), this.#cluster.synced()]);
    const address = await ownAddress(host, this.#cluster);
    const { excludeInterfaces: exclude } = options;
    const wire = await startWire(
      {
        ...(exclude === undefined ? {} : { interfaces: { exclude } }),
        heartbeat: { node: options.node, cluster, address, key },
      },
      signal,
    );
    this.#wire = wire;
    const speaker = new Speaker({
      node: options.node,
      address,
      cluster: this.#cluster,
      wire,
      api,
      clock,
      log,
      namespace: this.#config.namespace ?? host.namespace,
      signal: this.#signal,
      endpoint: this.#endpoint,
      onAnnounced: () => this.#writer?.poke(),
    });
    this.#writer = new StatusWriter({
      api,
      clock,
      log,
      signal: this.#signal,
      scene: () => speaker.scene(),
      onWritten: (raw) => this.#cluster.wrote(raw),
    });
    this.#connect(wire, speaker);
    await speaker.start();
    this.#speaker = speaker;
    speaker.clusterChanged();
    log.info(
      { node: options.node, address, interfaces: names(wire), fastPath: wire.fastPath },
      'taking part',
    );
  }

  /** Until the end is asked for, or a successor took over. @throws Transient when the wire ends by itself. */
  async until(): Promise<void> {
    const { signal, clock, log } = this.#host;
    const stopped = new Promise<'stopped'>((resolve) => {
      if (signal.aborted) resolve('stopped');
      else signal.addEventListener('abort', () => resolve('stopped'), { once: true });
    });
    const why = await Promise.race([stopped, this.#over.promise]);
    if (why === 'superseded') {
      this.#superseded = true;
      log.info({}, 'the successor on this node has taken over');
      await this.close();
      // Started again by the kubelet, it would take over from its own successor.
      if (this.#host.supervised) await stopped;
      return;
    }
    log.info({ addresses: this.#speaker?.agent.state.held.size ?? 0 }, 'leaving');
    const late = new Promise<void>((resolve) => void clock.after(LEAVE_MS, resolve));
    await Promise.race([this.#speaker?.leave(), late]);
  }

  async close(): Promise<void> {
    await this.#wire?.stop({ goodbye: !this.#superseded });
  }

  /** What the wire tells, as inputs of the election. */
  #connect(wire: Wire, speaker: Speaker): void {
    const { agent } = speaker;
    const { log, clock } = this.#host;
    wire.on('heard', ({ node, nonce }) => agent.heard(node, nonce));
    wire.on('gone', ({ node, silentMs }) => {
      log.info({ node, silentMs }, 'not heard any more');
      agent.input({ type: 'gone', node });
    });
    wire.on('goodbye', ({ node }) => agent.input({ type: 'goodbye', node }));
    wire.on('digest', ({ node, digest }) => agent.digest(node, digest));
    wire.on('message', ({ node, kind, payload }) => agent.message(node, kind, payload));
    wire.on('claimed', (claim) => speaker.claimed(claim));
    wire.on('interfaces', ({ lost, found, changed }) => {
      log.info({ lost, found, changed }, 'interfaces changed');
      speaker.interfacesChanged({ anew: changed.length > 0 });
    });
    wire.on('stalled', ({ gapMs, muted }) => {
      log.warn({ gapMs }, 'this process stood still');
      agent.input({ type: 'stalled' });
      if (muted) clock.after(RESUME_MS, () => wire.resume());
    });
    wire.on('rejected', ({ reason, from, count }) =>
      log.debug({ reason, from, count }, 'datagrams thrown away'),
    );
    wire.on('fault', ({ error }) => log.warn({ error: error.message }, 'trouble on the wire'));
    wire.on('superseded', () => this.#over.resolve('superseded'));
    wire.on('orphaned', () => log.warn({}, 'the predecessor on this node is gone'));
    wire.on('failed', ({ error }) => this.#over.reject(error));
    wire.on('lapsed', ({ stuckMs }) => this.#over.reject(lapsed(stuckMs)));
  }
}

function names(wire: Wire): readonly string[] {
  return wire
    .interfaces()
    .filter(({ unusable }) => unusable === undefined)
    .map(({ name }) => name);
}

function lapsed(stuckMs: number): Transient {
  return new Transient('SpeakerStuck', {
    message: `the speaker did nothing for ${stuckMs} ms and has left, so that others could take over`,
    remedy: 'It has to be started again, which the kubelet does; give it more CPU if it happens again',
  });
}
