import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { ask } from '../../src/cli/demo/traffic.ts';
import { kubectlFor, type Kubectl } from '../contract/index.ts';
import { runProgram, startProgram, type Program } from '../fixtures/command-line.ts';
import { harnessEnvironment } from '../harness/environment.ts';
import { describeWithKubectl } from '../harness/kubectl.ts';

/** What `npm run demo -- --once` may take after installation, in milliseconds. */
const LIMIT_MS = 30_000;

describe('berth demo --once', () => {
  it('tells the whole story, every check of it holds, and it ends within 30 s', async () => {
    const begun = performance.now();
    const { code, out, err } = await runProgram(['demo', '--once']);
    expect(err).toBe('');
    expect(code).toBe(0);
    expect(performance.now() - begun).toBeLessThan(LIMIT_MS);
    expect(out.match(/^\d\. .*$/gm)).toEqual([
      '1. A Service of type LoadBalancer appears and gets an address',
      '2. Requests to that address reach backends on every node',
      '3. A second Service asks for an address by loadBalancerIP',
      '4. A third Service asks for an address that is taken',
      '5. A node is drained while requests run',
      '6. A Service is deleted and nothing is left',
    ]);
    const held = out.match(/^ {3}✓ .*$/gm)?.length ?? 0;
    expect(held).toBeGreaterThanOrEqual(15);
    expect(out).toContain(`All ${held} checks held`);
    expect(out).toContain('Ask for another address, or remove the request to get a free one.');
    expect(out).toMatch(/of \d{3,} requests 0 failed/);
  });

  it('can run twice at the same time on one machine', async () => {
    const runs = await Promise.all([runProgram(['demo', '--once']), runProgram(['demo', '--once'])]);
    expect(runs.map(({ code, err }) => ({ code, err }))).toEqual([
      { code: 0, err: '' },
      { code: 0, err: '' },
    ]);
  });

  it('is JSON for programs', async () => {
    const { code, out } = await runProgram(['demo', '--once', '--output', 'json']);
    const lines = out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    const checks = lines.filter((line) => 'check' in line);
    expect(code).toBe(0);
    expect(checks.every(({ holds }) => holds === true)).toBe(true);
    expect(lines.at(-1)).toEqual({ held: checks.length, seconds: expect.any(Number) });
  });
});

await describeWithKubectl('berth demo, tried with kubectl', () => {
  let demo: Program;
  let kubectl: Kubectl;
  afterEach(async () => {
    await kubectl?.close();
    demo.kill('SIGKILL');
    await demo.ended;
  });

  async function run(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await kubectl.run(args);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    return stdout.trimEnd();
  }

  const externalIp = (name: string): Promise<string> =>
    run('get', 'service', name, '--output', 'jsonpath={.status.loadBalancer.ingress[*].ip}');

  // Over a connection of its own, as curl does: one that is kept may finish on a listener that is closed.
  const curl = async (url: string): Promise<string> => (await ask(url, new AbortController().signal)).backend;

  it('stays up: a Service of one’s own gets an address that answers, and is gone when it is deleted', async () => {
    demo = startProgram(['demo']);
    await demo.says(/Ctrl-C ends it/);
    const kubeconfig = /export KUBECONFIG=(\S+)/.exec(demo.out)?.[1] ?? '';
    expect(await curl(/curl (http:\S+)/.exec(demo.out)?.[1] ?? '')).toMatch(/^node-\d-demo-\d$/);
    kubectl = await kubectlFor({ kubeconfig, environment: harnessEnvironment().forChildren });

    expect(await run('create', 'service', 'loadbalancer', 'demo', '--tcp=8080:8080')).toBe(
      'service/demo created',
    );
    await expect.poll(() => externalIp('demo'), { timeout: 5_000 }).toMatch(/^127\./);
    const ip = await externalIp('demo');
    expect(await run('get', 'services')).toMatch(
      new RegExp(`^demo +LoadBalancer +\\S+ +${ip.replaceAll('.', '\\.')} `, 'm'),
    );
    expect(await curl(`http://${ip}:8080/`)).toMatch(/^node-\d-demo-\d$/);
    await demo.says(new RegExp(`^default/demo ${ip} 8080/TCP Provisioned$`, 'm'));

    expect(await run('describe', 'service', 'late')).toContain('AddressInUse');
    const explained = await runProgram(['explain', 'late'], { KUBECONFIG: kubeconfig });
    expect(explained.err).toMatch(/^Answered by the leader /);
    expect(explained.out).toContain('Reason:     AddressInUse');

    await run('delete', 'service', 'demo');
    await expect(curl(`http://${ip}:8080/`)).rejects.toThrow('ECONNREFUSED');
    await run('delete', 'service', 'fixed');
    await expect.poll(() => externalIp('late'), { timeout: 5_000 }).toMatch(/^127\./);
    expect(await curl(`http://${await externalIp('late')}:8080/`)).toMatch(/^node-\d-demo-\d$/);

    demo.kill('SIGINT');
    expect(await demo.ended).toMatchObject({ code: 0, err: '' });
    expect(existsSync(dirname(kubeconfig))).toBe(false);
  });
});
