// A complete Berth provider: one HAProxy configuration file for each load balancer, in a directory that
// `haproxy -f DIRECTORY` serves. The files are its only state. To use it:
//   berth run --provider ./provider-hello --config berth.yaml     with, in berth.yaml:
//   providers: { hello: { config: { directory: /etc/haproxy/berth, addresses: [192.0.2.0/28] } } }
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CONTRACT, NotOwned, parseRange } from '@berth/core';

/** The Standard Schema interface (standardschema.dev) by hand; zod and its like bring it along. */
const schema = (validate) => ({ '~standard': { version: 1, vendor: 'hello', validate } });
const wrong = (message, ...path) => ({ issues: [{ message, path }] });

/** The annotations that it understands. The core validates their values and refuses misspelt names. */
const settings = {
  balance: {
    annotations: ['hello.berth.dev/balance'],
    type: '"roundrobin" or "leastconn"',
    default: 'roundrobin',
    doc: 'How connections are spread over the nodes.',
    schema: schema((text) => (/^(roundrobin|leastconn)$/.test(text) ? { value: text } : wrong('unknown'))),
  },
};

/** What it can do. The core asks for nothing else: this provider never sees a UDP port, for example. */
const capabilities = {
  loadBalancerIP: 'honoured',
  protocols: ['TCP'],
  mixedProtocols: false,
  sourceRanges: true,
  targets: 'nodePort',
  families: ['IPv4', 'IPv6'],
  sessionAffinity: true,
  sharing: false,
  healthCheck: true,
};

/** The factory: called once, with what `configSchema` (below) made of `providers.hello.config`. */
export default function hello({ directory, addresses }, host) {
  const mark = `# Made by berth-provider-hello for the cluster ${host.cluster.id}; do not edit.`;
  const fileOf = (key) => join(directory, `${key.replace('/', '.')}.cfg`);

  /** One file as it is, or `undefined`. What does not carry our mark is not ours, whatever its name. */
  async function read(path, signal) {
    const text = await readFile(path, { encoding: 'utf8', signal }).catch((error) => {
      if (error.code !== 'ENOENT') throw error;
    });
    const lines = text?.split('\n');
    const [, key, uid] = /^# Service (\S+) (\S+)$/.exec(lines?.[1] ?? '') ?? [];
    return lines && { key, uid, lines, ours: lines[0] === mark && key !== undefined };
  }

  return {
    contract: CONTRACT,
    name: 'hello',
    classes: ['berth.dev/hello'],
    capabilities,
    settings,

    // The core assigns addresses from these pools and remembers them in the Services' statuses.
    pools: () => [{ name: 'hello', ranges: addresses, autoAssign: true }],

    // What there is: everything in one pass over the directory, or a few load balancers only.
    async observe(signal, keys) {
      signal.throwIfAborted();
      await mkdir(directory, { recursive: true });
      const names = (await readdir(directory)).filter((name) => name.endsWith('.cfg'));
      const paths = keys?.map(fileOf) ?? names.map((name) => join(directory, name));
      const files = await Promise.all(paths.map((path) => read(path, signal)));
      const loadBalancers = new Map(files.filter((file) => file?.ours).map((file) => [file.key, file]));
      return { environment: undefined, shared: undefined, loadBalancers };
    },

    // What differs, as steps. A pure comparison: all that it may look at is in its arguments.
    plan(request, observed) {
      if (request.scope === 'shared') return [];
      const { key, desired } = request;
      const file = { scope: key, resource: 'configFile', key, stage: 0 };
      const before = observed.loadBalancers.get(key)?.lines;
      const after = desired && [mark, ...render(desired)];
      if (before?.join('\n') === after?.join('\n')) return [];
      if (!before) return [{ ...file, verb: 'create', after, because: 'there is no file yet' }];
      if (!after) return [{ ...file, verb: 'delete', before, because: 'the Service wants no load balancer' }];
      return [
        { ...file, verb: 'update', before, after, because: 'the file does not say what the Service asks' },
      ];
    },

    // Carries out one step and says what it changed. Killed anywhere in between, it can be done again.
    async apply(step, _observed, signal) {
      signal.throwIfAborted();
      const path = fileOf(step.scope);
      if ((await read(path, signal))?.ours === false) {
        throw new NotOwned('ForeignConfigFile', {
          message: `${path} exists and does not carry the mark of this cluster`,
          remedy: 'Move the file away, or give this provider another directory',
        });
      }
      if (step.verb === 'delete') {
        for (const file of [path, `${path}.new`]) await rm(file, { force: true });
        return { loadBalancer: () => undefined };
      }
      await writeFile(`${path}.new`, step.after.join('\n'), { signal });
      await rename(`${path}.new`, path);
      const written = await read(path, signal);
      return { loadBalancer: () => written };
    },

    // What the Service's status says.
    ingress: (desired, observed) =>
      observed
        ? { kind: 'ready', ingress: desired.addresses.map((ip) => ({ ip, ipMode: 'VIP' })) }
        : { kind: 'pending', code: 'NotWritten', message: 'there is no file yet', retryAfterMs: 1000 },
    close: async () => {},
  };
}

/** Validates the configuration. The core puts in front of each message where in the file it belongs. */
hello.configSchema = schema(({ directory = './berth-hello', addresses: texts = '127.78.0.0/24' } = {}) => {
  if (typeof directory !== 'string') return wrong('expected the path of a directory', 'directory');
  const addresses = [texts].flat().map((text) => parseRange(String(text)));
  const bad = addresses.indexOf(undefined);
  return bad < 0 ? { value: { directory, addresses } } : wrong('expected a CIDR', 'addresses', bad);
});

/** The file below the mark. All of it sorted, so that equal wishes give equal files. */
function render({ key, uid, ports, ...wanted }) {
  const sorted = ports.toSorted((a, b) => a.port - b.port);
  return [`# Service ${key} ${uid}`, ...sorted.flatMap((port) => section(key, port, wanted)), ''];
}

const timeouts = ['connect 5s', 'client 1h', 'server 1h'].map((time) => `  timeout ${time}`);

function section(key, { port, nodePort }, { addresses, sourceRanges, targets, settings, ...wanted }) {
  const { healthCheck: probe, clientIPAffinitySeconds: seconds } = wanted;
  const check = probe.kind === 'http' ? `check port ${probe.port}` : 'check';
  const servers = targets.filter((target) => target.addresses.length > 0);
  return [
    `listen ${key.replace('/', '.')}-${port}`,
    '  mode tcp',
    ...timeouts,
    ...addresses.map((ip) => `  bind ${ip}:${port}`),
    ...sourceRanges.map((cidr) => `  acl allowed src ${cidr}`),
    ...(sourceRanges.length > 0 ? ['  tcp-request connection reject unless allowed'] : []),
    `  balance ${settings.balance}`,
    ...(seconds > 0 ? [`  stick-table type ipv6 size 100k expire ${seconds}s`, '  stick on src'] : []),
    ...(probe.kind === 'http' ? [`  option httpchk GET ${probe.path}`] : []),
    ...servers.map(({ node, addresses: [ip] }) => `  server ${node} ${ip}:${nodePort} ${check}`).toSorted(),
  ];
}
