/** `berth doctor` on bare metal: what it finds, and that it finds nothing when that is repaired. */
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { OwnedCheck } from '../../src/cli/commands/doctor.ts';
import { LabBerth } from '../harness/metal-berth.ts';
import { describeWithMetalLab, type MetalLab, startMetalLab } from '../harness/metal-lab.ts';
import { runIn } from '../harness/netns.ts';

const BERTH = fileURLToPath(new URL('../../src/bin/berth.mjs', import.meta.url));
const POOLS = '/apis/metallb.io/v1beta1/namespaces/metallb-system/ipaddresspools';
const CONFIG_MAPS = '/api/v1/namespaces/kube-system/configmaps';

function proxyConfig(strictARP: boolean): object {
  const config = [
    'apiVersion: kubeproxy.config.k8s.io/v1alpha1',
    'kind: KubeProxyConfiguration',
    'ipvs:',
    '  scheduler: rr',
    `  strictARP: ${strictARP}`,
    'mode: "ipvs"',
  ];
  return { metadata: { name: 'kube-proxy' }, data: { 'config.conf': `${config.join('\n')}\n` } };
}

await describeWithMetalLab('berth doctor', {}, () => {
  let lab: MetalLab;
  let berth: LabBerth;
  let holder: string;
  let other: string;

  beforeAll(async () => {
    lab = await startMetalLab();
    berth = await LabBerth.start(lab);
    await lab.createService({ name: 'web' });
    const [address = ''] = await berth.addressesOf('web');
    holder = await berth.holderOf(address);
    other = lab.net.nodes.find(({ name }) => name !== holder)?.name ?? '';
  });
  afterAll(async () => {
    await berth?.stop();
    await lab?.stop();
  });

  /** Runs it on the node that has the address: its speaker is reached there. */
  async function doctor(...more: readonly string[]): Promise<{ code: number; out: string }> {
    const program = [process.execPath, BERTH, 'doctor', '--provider', 'metal'];
    const argv = [...program, '--kubeconfig', lab.plane.kubeconfig(), ...more];
    const said = await runIn(lab.node(holder).namespace, [
      'sh',
      '-c',
      '"$@"; echo "ended $?"',
      'sh',
      ...argv,
    ]);
    const [, out = '', code] = /^([^]*)ended (\d+)\n$/.exec(said) ?? [];
    return { code: Number(code), out };
  }

  async function checks(): Promise<readonly OwnedCheck[]> {
    const { out } = await doctor('--output', 'json');
    return (JSON.parse(out) as { checks: readonly OwnedCheck[] }).checks;
  }

  /** What is wrong, as `check subject`. */
  async function wrong(): Promise<readonly string[]> {
    return (await checks())
      .filter(({ outcome }) => outcome === 'failed' || outcome === 'warning')
      .map(({ check, subject, outcome }) => `${outcome} ${check} ${subject ?? ''}`.trim());
  }

  it('finds nothing wrong where nothing is, says what it looked at, and ends with 0', async () => {
    await expect.poll(wrong, { timeout: 20_000, interval: 500 }).toEqual([]);
    const { code, out } = await doctor();
    expect({ code, out }).toMatchObject({ code: 0 });
    expect(out).toMatch(/^OUTCOME +BY +CHECK +SUBJECT +MESSAGE\n/);
    expect(out).toMatch(/ok +berth +controller +- +.* holds the Lease berth-system\/berth-controller/);
    expect(out).toMatch(
      /ok +metal +speaker-key +- +the Secret berth-system\/berth-speaker has a key of 32 bytes/,
    );
    expect(out).toMatch(/Doctor: \d+ ok, 0 warnings, 0 failed, \d+ skipped\n$/);
    const found = await checks();
    const subject = (check: string): readonly (string | undefined)[] =>
      found.filter((one) => one.check === check && one.outcome === 'ok').map((one) => one.subject);
    expect(subject('speaker')).toEqual(lab.net.nodes.map(({ name }) => name));
    expect(subject('interface')).toContain(`${holder}/eth0`);
    expect(subject('heartbeat-port')).toEqual([holder]);
    expect(subject('node-clock')).toEqual([holder]);
  });

  it('finds IPVS without strictARP, and is content with it', async () => {
    await lab.send('POST', CONFIG_MAPS, proxyConfig(false));
    expect(await wrong()).toEqual(['failed strict-arp']);
    const { code, out } = await doctor();
    expect(code).toBe(1);
    expect(out).toContain('strict-arp: Set ipvs.strictARP to true');
    await lab.send('PATCH', `${CONFIG_MAPS}/kube-proxy`, proxyConfig(true));
    expect(await wrong()).toEqual([]);
  });

  it('finds pools that overlap, one that nobody advertises, and one that cannot be read', async () => {
    const pool = (name: string, addresses: readonly string[]): object => ({
      apiVersion: 'metallb.io/v1beta1',
      kind: 'IPAddressPool',
      metadata: { name },
      spec: { addresses },
    });
    await lab.send('POST', POOLS, pool('double', [lab.net.pools[0]]));
    await lab.send('POST', POOLS, pool('odd', ['10.0.0.300/24']));
    expect((await wrong()).toSorted()).toEqual([
      'failed advertised double',
      'failed overlap double,lab',
      'failed pools IPAddressPool odd',
    ]);
    for (const name of ['double', 'odd']) await lab.send('DELETE', `${POOLS}/${name}`);
    expect(await wrong()).toEqual([]);
  });

  it('finds a Ready node without a speaker', async () => {
    await berth.speaker(other).stop();
    await expect.poll(wrong, { timeout: 20_000, interval: 500 }).toEqual([`failed speaker ${other}`]);
    berth.startMissing();
    await expect.poll(wrong, { timeout: 20_000, interval: 500 }).toEqual([]);
  });

  it('says of each interface that is not used why, as its speaker sees it', async () => {
    const { namespace } = lab.node(holder);
    const ip = (...argv: readonly string[]): Promise<string> => runIn(namespace, ['ip', ...argv]);
    await ip('link', 'add', 'eth7', 'type', 'veth', 'peer', 'name', 'eth8');
    await ip('address', 'add', '192.0.2.1/24', 'dev', 'eth7');
    const why = async (): Promise<string | undefined> =>
      (await checks()).find(({ subject }) => subject === `${holder}/eth7`)?.message;
    await expect.poll(why, { timeout: 20_000, interval: 500 }).toBe('not used: it is down');
    expect(await wrong()).toEqual([`warning interface ${holder}/eth7`]);
    expect((await doctor()).code, 'a warning is no failure').toBe(0);
    expect((await checks()).find(({ subject }) => subject === `${holder}/lo`)).toMatchObject({
      outcome: 'skipped',
      message: 'not used: it is the loopback',
    });
    await ip('link', 'del', 'eth7');
    await expect.poll(wrong, { timeout: 20_000, interval: 500 }).toEqual([]);
  });

  it('looks at the machine itself where no speaker of it answers', async () => {
    const argv = [process.execPath, BERTH, 'doctor', '--provider', 'metal', '--output', 'json'];
    const said = await runIn(lab.node(other).namespace, [
      ...argv,
      '--kubeconfig',
      lab.plane.kubeconfig(),
      '--node',
      other,
    ]);
    const found = (JSON.parse(said) as { checks: readonly OwnedCheck[] }).checks;
    expect(found).toContainEqual(
      expect.objectContaining({ check: 'interface', subject: `${other}/eth0`, outcome: 'ok' }),
    );
    expect(found).toContainEqual(
      expect.objectContaining({
        check: 'heartbeat-port',
        subject: other,
        outcome: 'ok',
        message: "UDP port 7947 is the speaker's",
      }),
    );
  });

  it('a speaker without CAP_NET_RAW ends with one line that names the capability, and exit code 3', async () => {
    const argv = [process.execPath, BERTH, 'speaker', '--node', other, '--log-level', 'error'];
    const said = await runIn(lab.node(other).namespace, [
      'sh',
      '-c',
      'setpriv --bounding-set=-net_raw "$@" 2>&1; echo "ended $?"',
      'sh',
      ...argv,
      '--kubeconfig',
      lab.plane.kubeconfig(),
    ]);
    const lines = said.trimEnd().split('\n');
    expect(lines).toEqual([
      expect.stringMatching(/^berth: .*lacks CAP_NET_RAW.*NET_RAW.* or run `berth speaker` as root\.$/i),
      'ended 3',
    ]);
  });
});
