import { chmod, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureLocalStack, type LocalStackAvailability } from '../../infra/localstack/install.ts';
import { askCloud, type CloudControl, controlOf } from './cloud-control.ts';
import { Daemon, freePort } from './daemon.ts';
import { describeUnless } from './describe.ts';
import { harnessEnvironment } from './environment.ts';
import { startGuard } from './guard.ts';

export { eksVpc, type EksVpc, type EksVpcOptions } from './eks-vpc.ts';
export type { Call, CloudControl, CloudSettings, Fault, Service } from './cloud-control.ts';
export { ensureLocalStack } from '../../infra/localstack/install.ts';

/** How to start the test cloud. */
export interface LocalStackOptions {
  /** Default: `eu-west-1`, or `AWS_REGION` for an endpoint that is given. */
  readonly region?: string;
  /** Whose calls these are: those of Berth are held against its IAM policy after a whole run. Default: `berth`. */
  readonly calls?: 'berth' | 'test';
}

/** What an AWS SDK client's constructor takes. The SDK's own retries are off, so that calls can be counted. */
export interface SdkConfig {
  readonly region: string;
  readonly endpoint?: string;
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string };
  readonly maxAttempts: number;
  readonly userAgentAppId?: string;
}

/**
 * One account of the test cloud. Accounts of our own LocalStack see nothing of each other, so that tests can run side by
 * side; faults, settings and records are per account too.
 */
export interface CloudAccount extends CloudControl {
  /** Twelve digits; empty where somebody else's endpoint decides. */
  readonly id: string;
  readonly region: string;
  readonly sdk: SdkConfig;
  /** For what a test does itself, such as a change "by hand": no fault and no latency, and not recorded. */
  readonly byHand: SdkConfig;
  /** What a child process needs in its environment to use this account. */
  readonly env: Readonly<Record<string, string>>;
}

/** The test cloud, and an account of it to start with. */
export interface LocalStack extends CloudAccount {
  /** As in `http://127.0.0.1:PORT`. */
  readonly endpoint: string;
  /** Whether it was started here, so that faults, settings, records and reset work. */
  readonly isOurs: boolean;
  /** An account that nobody has used yet. On somebody else's endpoint always the same one. */
  account(): CloudAccount;
  /** Every operation called since the start in any account, as in `elbv2:CreateListener`; not those by hand. */
  operations(): Promise<readonly string[]>;
  /** Everything that LocalStack has logged. */
  log(): Promise<string>;
  /** Ends it and removes its files. Safe to call twice. */
  stop(): Promise<void>;
}

/** What a group of tests needs beyond the API of AWS. */
export interface LocalStackNeeds {
  /** Faults, settings, records or reset, which only the LocalStack started here has. */
  readonly control?: boolean;
}

let availability: Promise<LocalStackAvailability> | undefined;

/** Finds or installs LocalStack, once for this process. Installing takes most of a minute and says so. */
export function localStack(): Promise<LocalStackAvailability> {
  availability ??= ensureLocalStack({ log: (line) => console.error(line) });
  return availability;
}

/**
 * A `describe` whose tests need the test cloud; where the machine cannot give it, see `describeUnless`. With
 * `AWS_ENDPOINT_URL` set they run against that endpoint, except those that need control over the cloud.
 */
export async function describeWithLocalStack(
  name: string,
  define: () => void | Promise<void>,
  needs: LocalStackNeeds = {},
): Promise<void> {
  const given = givenEndpoint();
  if (given === undefined) {
    await describeUnless(await whyNoLocalStack(), { name, part: 'LocalStack' }, define);
    return;
  }
  const why = needs.control
    ? `needs faults, settings or records, which ${given} does not have. Unset AWS_ENDPOINT_URL.`
    : undefined;
  await describeUnless(why, { name }, define);
}

async function whyNoLocalStack(): Promise<string | undefined> {
  const answer = await localStack();
  return answer.available ? undefined : `needs LocalStack, but ${answer.reason}. ${answer.remedy}`;
}

/**
 * Starts LocalStack on loopback and waits until it serves EC2, ELBv2 and STS (about 3 s). Nothing outlives the calling
 * process: a guard kills it and removes its files when the process ends in whatever way. With `AWS_ENDPOINT_URL` set
 * nothing is started, and credentials are those of the environment.
 *
 * @throws Error with the end of the log when it does not come up, or when it cannot be installed.
 */
export async function startLocalStack(options: LocalStackOptions = {}): Promise<LocalStack> {
  const given = givenEndpoint();
  if (given !== undefined) return foreignCloud(given, options);
  const answer = await localStack();
  if (!answer.available) throw new Error(`${answer.reason}. ${answer.remedy}`);
  for (let attempt = 1; ; attempt++) {
    const dir = await mkdtemp(join(tmpdir(), 'berth-localstack-'));
    const guard = startGuard({ dir });
    const port = await freePort();
    const daemon = new Daemon(dir, await writeLauncher(dir, answer, port), []);
    const stop = async (): Promise<void> => {
      await daemon.kill();
      await rm(dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
      guard.dismiss();
    };
    try {
      await daemon.start(() => isReady(port));
      const { region = 'eu-west-1', calls = 'berth' } = options;
      return ownCloud({
        port,
        dir,
        region,
        stop: calls === 'berth' ? () => noteCalls(port).finally(stop) : stop,
      });
    } catch (error) {
      await stop();
      // Between choosing a free port and using it somebody else may take it; the log is where that shows.
      if (attempt === 3 || !/address already in use/i.test(String(error))) throw error;
    }
  }
}

function givenEndpoint(): string | undefined {
  return harnessEnvironment().forChildren['AWS_ENDPOINT_URL'] || undefined;
}

/** A script, because the process needs an environment of its own, in which nothing of the user's can change it. */
async function writeLauncher(
  dir: string,
  answer: { readonly python: string; readonly plugin: string; readonly index: string },
  port: number,
): Promise<string> {
  await mkdir(join(dir, 'usr', 'lib'), { recursive: true });
  await symlink(answer.index, join(dir, 'usr', 'lib', 'localstack'));
  const environment = {
    HOME: dir,
    XDG_CACHE_HOME: dir,
    FILESYSTEM_ROOT: dir,
    // Inside a container it would use /var/lib/localstack instead.
    OVERRIDE_IN_DOCKER: '0',
    PATH: harnessEnvironment().forChildren['PATH'] ?? '',
    PYTHONPATH: answer.plugin,
    SERVICES: 'ec2,elbv2,sts',
    PROVIDER_OVERRIDE_STS: 'berth',
    GATEWAY_LISTEN: `127.0.0.1:${port}`,
    // Nothing leaves the machine: no analytics, no certificate, no questions to name servers.
    DISABLE_EVENTS: '1',
    SKIP_SSL_CERT_DOWNLOAD: '1',
    DNS_ADDRESS: '0',
    LS_LOG: 'warn',
  };
  const path = join(dir, 'localstack');
  const assignments = Object.entries(environment).map(([name, value]) => quoted(`${name}=${value}`));
  const command = `exec env -i ${assignments.join(' ')} ${quoted(answer.python)} -m localstack.runtime.main`;
  await writeFile(path, `#!/bin/sh\n${command}\n`);
  await chmod(path, 0o700);
  return path;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

async function isReady(port: number): Promise<boolean> {
  const response = await fetch(`http://127.0.0.1:${port}/_berth/ready`, {
    signal: AbortSignal.timeout(2_000),
  }).catch(() => undefined);
  await response?.body?.cancel();
  return response?.ok ?? false;
}

/** Writes down what was called, for the test that runs after all others. */
async function noteCalls(port: number): Promise<void> {
  const { callsDir } = harnessEnvironment();
  if (callsDir === undefined) return;
  const operations = await operationsOf(`http://127.0.0.1:${port}`);
  await mkdir(callsDir, { recursive: true });
  await writeFile(join(callsDir, `${process.pid}-${port}.json`), JSON.stringify(operations));
}

interface OwnCloud {
  readonly port: number;
  readonly dir: string;
  readonly region: string;
  readonly stop: () => Promise<void>;
}

function ownCloud(own: OwnCloud): LocalStack {
  const endpoint = `http://127.0.0.1:${own.port}`;
  let accounts = 0;
  // LocalStack takes an access key id of twelve digits for the number of the account.
  const account = (): CloudAccount => accountOf(endpoint, own.region, String(++accounts).padStart(12, '0'));
  return {
    ...account(),
    endpoint,
    isOurs: true,
    account,
    operations: () => operationsOf(endpoint),
    log: () => readFile(join(own.dir, 'localstack.log'), 'utf8'),
    stop: own.stop,
  };
}

function accountOf(endpoint: string, region: string, id: string): CloudAccount {
  const sdk = { region, endpoint, credentials: { accessKeyId: id, secretAccessKey: 'test' }, maxAttempts: 1 };
  return {
    id,
    region,
    sdk,
    byHand: { ...sdk, userAgentAppId: 'by-hand' },
    env: {
      AWS_ENDPOINT_URL: endpoint,
      AWS_REGION: region,
      AWS_ACCESS_KEY_ID: id,
      AWS_SECRET_ACCESS_KEY: 'test',
    },
    ...controlOf(endpoint, id),
  };
}

async function operationsOf(endpoint: string | undefined): Promise<readonly string[]> {
  const { operations } = await askCloud<{ operations: string[] }>(endpoint, { path: 'operations' });
  return operations;
}

/** Somebody else's endpoint: no account can be made, no fault injected, nothing reset. */
function foreignCloud(endpoint: string, options: LocalStackOptions): LocalStack {
  const environment = harnessEnvironment().forChildren;
  const region = options.region ?? environment['AWS_REGION'] ?? 'eu-west-1';
  const names = ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN', 'AWS_PROFILE'];
  const passed = names.flatMap((name) => {
    const value = environment[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  const sdk = { region, endpoint, maxAttempts: 1 };
  const account: CloudAccount = {
    id: '',
    region,
    sdk,
    byHand: sdk,
    env: { AWS_ENDPOINT_URL: endpoint, AWS_REGION: region, ...Object.fromEntries(passed) },
    ...controlOf(undefined, ''),
  };
  return {
    ...account,
    endpoint,
    isOurs: false,
    account: () => account,
    operations: () => operationsOf(undefined),
    log: () => Promise.resolve(''),
    stop: () => Promise.resolve(),
  };
}
