import { setTimeout as pause } from 'node:timers/promises';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import type { Invocation } from '../invocation.ts';
import { counted, paintFor } from '../terminal.ts';
import { showLive } from './live.ts';
import { startStage, type Stage } from './stage.ts';
import { addressOf, STORY, STORY_PORT } from './story.ts';
import { tellerFor } from './teller.ts';

/** What the demo is told. */
export interface DemoFlags {
  /** Ends after the story. */
  readonly once?: boolean;
  /** Of the API server; 0 takes any free one. */
  readonly port?: number;
}

/** Between two chapters, for somebody who reads along, in milliseconds. */
const READING_MS = 1_200;

/**
 * `berth demo`: a whole cluster in this process, and a story of checks on it; afterwards it stays up to be tried.
 *
 * @throws CommandFailed with the check that did not hold.
 */
export async function demoCommand(
  invocation: Invocation,
  { once = false, port = 0 }: DemoFlags,
): Promise<ExitCode> {
  const { terminal, json } = invocation;
  const teller = tellerFor(terminal, json);
  const begun = performance.now();
  const stage = await startStage(invocation, port);
  try {
    if (!json) terminal.out.write(introduction(stage));
    for (const chapter of STORY) {
      if (terminal.out.isTTY && !once) await pause(READING_MS, undefined, { signal: stage.signal });
      teller.chapter(chapter.title);
      await chapter.play(stage, teller);
    }
    const seconds = ((performance.now() - begun) / 1_000).toFixed(1);
    if (json) terminal.out.write(`${JSON.stringify({ held: teller.held, seconds: Number(seconds) })}\n`);
    else terminal.out.write(`\nAll ${counted(teller.held, 'check')} held, in ${seconds} s.\n`);
    if (once) return EXIT.ok;
    if (!json) terminal.out.write(invitation(stage, invocation));
    await Promise.race([
      showLive({ terminal, json, signal: stage.signal, status: () => stage.controller.inspect.status() }),
      stage.ended,
    ]);
    return EXIT.ok;
  } finally {
    await stage.close();
  }
}

function introduction({ nodes, sandbox }: Stage): string {
  const backends = nodes.nodes.flatMap((node) => node.backends).length;
  return (
    `Berth demo: a Kubernetes API server, ${counted(nodes.nodes.length, 'node')} and ` +
    `${counted(backends, 'backend')} in this process, with real sockets.\n` +
    `The API server is at ${sandbox.url}.\n`
  );
}

function invitation(stage: Stage, { terminal }: Invocation): string {
  const paint = paintFor(terminal);
  const fixed = addressOf(stage, 'fixed');
  const commands = [
    `export KUBECONFIG=${stage.kubeconfig}`,
    `curl http://${fixed}:${STORY_PORT}/`,
    'kubectl get services',
    `kubectl create service loadbalancer demo --tcp=${STORY_PORT}:8080   # backends have the label app=demo`,
    'kubectl get service demo                                 # EXTERNAL-IP is the address to curl',
    'kubectl delete service demo',
    'kubectl delete service fixed                             # default/late gets the address it waits for',
    'npx berth explain default/late',
  ];
  return (
    `\n${paint('strong', 'It stays up. Try it from another terminal:')}\n` +
    `${commands.map((line) => `   ${line}\n`).join('')}\nCtrl-C ends it.\n\n`
  );
}
