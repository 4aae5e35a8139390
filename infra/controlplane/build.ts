// Brings the real kube-apiserver and etcd (and, when asked for, kube-proxy) that the tests run against.
//   node_modules/.bin/node --conditions=source infra/controlplane/build.ts [COMPONENT ...]
import { createHash } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { exists, produceOnce } from '../../test/harness/cache.ts';
import { harnessEnvironment, type HarnessEnvironment } from '../../test/harness/environment.ts';
import { lastLines, runGo } from '../go.ts';

/** A binary of the control plane, or kubectl. kube-proxy and kubectl are only built when they are asked for. */
export type Component = 'kube-apiserver' | 'etcd' | 'kube-proxy' | 'kubectl';

/** Where the binaries are, or why there are none and what to do about it. */
export type ControlPlaneAvailability =
  | { readonly available: true; readonly dir: string }
  | { readonly available: false; readonly reason: string; readonly remedy: string };

/** What `ensureControlPlane` needs to know. */
export interface EnsureOptions {
  /** Gets one line whenever something slow starts, goes on or ends. */
  readonly log: (line: string) => void;
  /** Default: kube-apiserver and etcd. */
  readonly components?: readonly Component[];
  readonly signal?: AbortSignal;
  /** Default: the environment of this process. */
  readonly environment?: HarnessEnvironment;
}

interface Recipe {
  readonly module: string;
  readonly package: string;
  readonly about: string;
}

const here = import.meta.dirname;
const recipes: Readonly<Record<Component, Recipe>> = {
  etcd: {
    module: join(here, 'etcd'),
    package: 'go.etcd.io/etcd/server/v3',
    about: '30 seconds',
  },
  'kube-apiserver': {
    module: here,
    package: 'k8s.io/kubernetes/cmd/kube-apiserver',
    about: 'about 4 minutes on two cores',
  },
  'kube-proxy': {
    module: here,
    package: 'k8s.io/kubernetes/cmd/kube-proxy',
    about: '10 seconds if kube-apiserver has just been built',
  },
  kubectl: {
    module: here,
    package: 'k8s.io/kubernetes/cmd/kubectl',
    about: 'about a minute if kube-apiserver has just been built',
  },
};

const remedy =
  'Install Go 1.24 or newer, or set KUBEBUILDER_ASSETS to a directory with kube-apiserver and etcd ' +
  '(`setup-envtest use -p path 1.34.x` downloads one and prints it).';

/**
 * Finds or builds the control plane's binaries. In this order: the directory named by `KUBEBUILDER_ASSETS`; a build kept
 * in the cache; a build with Go from the modules pinned beside this file, which is kept in the cache for every later
 * run and clone. A machine that can do none of these is an answer, not an error.
 *
 * @throws only when `signal` aborts.
 */
export async function ensureControlPlane(options: EnsureOptions): Promise<ControlPlaneAvailability> {
  const environment = options.environment ?? harnessEnvironment();
  const components = options.components ?? ['kube-apiserver', 'etcd'];
  const assets = await fromAssets(environment, components);
  if (assets) return assets;
  const pins = await hashOfPins();
  const goVersion = await versionOfGo(environment, options.signal);
  if (goVersion.name === undefined)
    return fromAnyCachedBuild({ environment, components, pins, why: goVersion.why });
  const dir = join(environment.cacheDir, 'controlplane', `${pins}-${goVersion.name}`);
  for (const component of components) {
    const failure = await build({ component, dir, goVersion: goVersion.name, options, environment });
    if (failure) return failure;
  }
  return { available: true, dir };
}

/** A directory that lacks kube-proxy (as setup-envtest's do) is passed over when kube-proxy is wanted, not refused. */
async function fromAssets(
  environment: HarnessEnvironment,
  components: readonly Component[],
): Promise<ControlPlaneAvailability | undefined> {
  const dir = environment.kubebuilderAssets;
  if (dir === undefined) return undefined;
  const missing = await missingFrom(dir, components);
  if (missing.length === 0) return { available: true, dir };
  if (missing.every((component) => component === 'kube-proxy')) return undefined;
  return {
    available: false,
    reason: `KUBEBUILDER_ASSETS=${dir} has no ${missing.join(' and no ')}`,
    remedy:
      'Point KUBEBUILDER_ASSETS at a directory with kube-apiserver and etcd, or unset it to build them with Go.',
  };
}

async function missingFrom(dir: string, components: readonly Component[]): Promise<Component[]> {
  const found = await Promise.all(components.map((component) => exists(join(dir, component))));
  return components.filter((_, index) => !found[index]);
}

/** The pins alone name the build when there is no Go to ask for its version. */
async function fromAnyCachedBuild(wanted: {
  environment: HarnessEnvironment;
  components: readonly Component[];
  pins: string;
  why: string;
}): Promise<ControlPlaneAvailability> {
  const root = join(wanted.environment.cacheDir, 'controlplane');
  const names = await readdir(root).catch(() => []);
  for (const name of names.filter((entry) => entry.startsWith(`${wanted.pins}-`)).toSorted()) {
    const dir = join(root, name);
    if ((await missingFrom(dir, wanted.components)).length === 0) return { available: true, dir };
  }
  return {
    available: false,
    reason: `${wanted.why} to build the Kubernetes control plane with, and there is no earlier build in the cache`,
    remedy,
  };
}

async function hashOfPins(): Promise<string> {
  const hash = createHash('sha256');
  for (const file of ['go.mod', 'go.sum', 'etcd/go.mod', 'etcd/go.sum'])
    hash.update(await readFile(join(here, file)));
  for (const recipe of Object.values(recipes)) hash.update(await linkerFlags(recipe));
  return hash.digest('hex').slice(0, 16);
}

/** Without these Kubernetes' programs call themselves v0.0.0-master, which /version and kubectl would show. */
async function linkerFlags(recipe: Recipe): Promise<string> {
  const small = '-s -w';
  if (recipe.module !== here) return small;
  const version = /^\s*(?:require )?k8s\.io\/kubernetes (v(\d+)\.(\d+)\.\d+)/m.exec(
    await readFile(join(here, 'go.mod'), 'utf8'),
  );
  if (!version)
    throw new Error('infra/controlplane/go.mod does not require k8s.io/kubernetes. Pin it there.');
  const [, full, major, minor] = version;
  const set = (name: string, value = ''): string => `-X k8s.io/component-base/version.${name}=${value}`;
  return [
    small,
    set('gitVersion', full),
    set('gitMajor', major),
    set('gitMinor', minor),
    set('gitTreeState', 'clean'),
  ].join(' ');
}

/** The name of Go's version and platform, or why Go cannot be used. */
async function versionOfGo(
  environment: HarnessEnvironment,
  signal?: AbortSignal,
): Promise<{ name: string } | { name?: never; why: string }> {
  // Asked in the module's directory, where Go may switch to the toolchain that go.mod names.
  const run = await runGo({ args: ['env', 'GOVERSION', 'GOOS', 'GOARCH'], cwd: here, environment, signal });
  if (run.ok) return { name: run.output.trim().split('\n').join('-') };
  signal?.throwIfAborted();
  return {
    why: run.missing ? 'there is no Go on the PATH' : `Go does not work (${lastLines(run.output, 3)})`,
  };
}

interface Build {
  readonly component: Component;
  readonly dir: string;
  readonly goVersion: string;
  readonly options: EnsureOptions;
  readonly environment: HarnessEnvironment;
}

async function build(job: Build): Promise<ControlPlaneAvailability | undefined> {
  const { component, dir, options } = job;
  try {
    await produceOnce({
      path: join(dir, component),
      produce: (unfinished) => compile(job, unfinished),
      signal: options.signal,
      onWait: () => options.log(`${component}: another process is building it, waiting for that ...`),
    });
    return undefined;
  } catch (error) {
    options.signal?.throwIfAborted();
    const reason = error instanceof Error ? error.message : String(error);
    return { available: false, reason: `${component} could not be built:\n${reason}`, remedy };
  }
}

async function compile(job: Build, unfinished: string): Promise<void> {
  const { component, options } = job;
  const recipe = recipes[component];
  const start = performance.now();
  const seconds = (): string => `${Math.round((performance.now() - start) / 1000)} s`;
  options.log(
    `${component}: building it with ${job.goVersion}, once; takes ${recipe.about} and is kept in ${job.dir}`,
  );
  const progress = setInterval(() => options.log(`${component}: still building (${seconds()})`), 30_000);
  try {
    const run = await runGo({
      args: [
        'build',
        '-mod=readonly',
        '-trimpath',
        '-ldflags',
        await linkerFlags(recipe),
        '-o',
        unfinished,
        recipe.package,
      ],
      cwd: recipe.module,
      environment: job.environment,
      signal: options.signal,
    });
    if (!run.ok) throw new Error(lastLines(run.output, 8));
    options.log(`${component}: built in ${seconds()}`);
  } finally {
    clearInterval(progress);
  }
}

async function main(names: readonly string[]): Promise<number> {
  const unknown = names.filter((name) => !(name in recipes));
  if (unknown.length > 0) {
    console.error(`Unknown component ${unknown.join(', ')}. Known: ${Object.keys(recipes).join(', ')}.`);
    return 2;
  }
  const components = names.length > 0 ? { components: names as Component[] } : {};
  const answer = await ensureControlPlane({ log: (line) => console.error(line), ...components });
  if (answer.available) console.log(answer.dir);
  else console.error(`${answer.reason}\n${answer.remedy}`);
  return answer.available ? 0 : 3;
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));
