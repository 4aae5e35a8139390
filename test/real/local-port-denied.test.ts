import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { describeUnless } from '../harness/describe.ts';

/** User and group `nobody`. */
const NOBODY = 65_534;
const SCRIPT = fileURLToPath(new URL('local-unprivileged.ts', import.meta.url));

/** Why this machine cannot show a denied port; `undefined` when it can. */
function obstacle(): string | undefined {
  const sysctl = '/proc/sys/net/ipv4/ip_unprivileged_port_start';
  try {
    const first = Number(readFileSync(sysctl, 'utf8'));
    return first > 80 ? undefined : `everybody may open port 80 (${sysctl} is ${first}). Set it to 1024.`;
  } catch {
    return `it needs Linux with ${sysctl}.`;
  }
}

function asNobody(): { both: unknown; alone: unknown } {
  const user = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
  const { stdout, stderr } = spawnSync(process.execPath, ['--conditions=source', SCRIPT], {
    ...user,
    cwd: '/',
    encoding: 'utf8',
    timeout: 30_000,
  });
  if (stdout === '') throw new Error(`the unprivileged process said nothing but: ${stderr}`);
  return JSON.parse(stdout) as { both: unknown; alone: unknown };
}

await describeUnless(obstacle(), { name: 'a process without privilege', part: 'denied port' }, () => {
  it('is told that port 80 is denied and what to do, while the other port of the Service works', () => {
    const denied = {
      code: 'PortDenied',
      message: expect.stringMatching(
        /cannot listen on 127\.82\.0\.1:80\/TCP.*EACCES.*ip_unprivileged_port_start.*setcap.*1024/,
      ),
    };
    expect(asNobody()).toEqual({
      both: {
        ...denied,
        ingress: {
          kind: 'ready',
          ingress: [{ ip: '127.82.0.1', ipMode: 'Proxy' }],
          portErrors: [{ port: 80, protocol: 'TCP', error: 'PortDenied' }],
        },
      },
      alone: {
        ...denied,
        ingress: { kind: 'pending', code: 'PortDenied', message: expect.any(String), retryAfterMs: 30_000 },
      },
    });
  });
});
