import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { LineCounter, parseDocument, type Document } from 'yaml';
import { z } from 'zod';
import { suggestion } from '../model/suggest.ts';
import { isPath } from '../provider/resolve.ts';
import { UsageError } from './errors.ts';
import { duration, flag, listenAddress, oneOf, shown, text, wholeNumber, type ValueKind } from './values.ts';

/** Words of `logLevel`. */
export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;

/** The form of each setting, for the file and for the flag of the same name. */
export const KINDS = {
  text,
  flag,
  drift: oneOf(['enforce', 'observe']),
  logLevel: oneOf(LOG_LEVELS),
  sweepInterval: duration(1_000),
  election: duration(100),
  concurrentSyncs: wholeNumber(1, 1_000),
  listen: listenAddress,
} as const;

/** A file with every key of the top level, for `berth run --help`. A test holds it against the schema. */
export const EXAMPLE = `\
kubeconfig: /etc/berth/kubeconfig
context: production
clusterId: 3f2c1d7e-0000-4000-8000-000000000000
clusterName: tokyo
providers:                            # a list of names will do: [local]
  local:
    classes: [example.com/internal]   # served beside berth.dev/local
    config: { pools: [{ name: lan, addresses: [192.168.1.200-192.168.1.220] }] }
  mine: { provider: ./my-provider }   # a path (from this file's directory) or an npm package
defaultProvider: local
leaderElection: { enabled: true, namespace: berth-system }
sweepInterval: 10m
drift: enforce
deleteOrphans: false
allocateNodePorts: true
concurrentSyncs: 10
listen: 127.0.0.1:8080
logLevel: info
`;

/** A setting of the file that is a single value of the given kind. */
function leaf<T>(kind: ValueKind<T>) {
  return z.unknown().transform((value, context): T => {
    const parsed = kind.parse(value);
    if (parsed !== undefined) return parsed;
    context.addIssue({ code: 'custom', message: `expected ${kind.expected}, got ${shown(value)}` });
    return z.NEVER;
  });
}

const section = z.strictObject({
  /** What to load: a name, a path or a package; the section's own name unless given. */
  provider: leaf(text).optional(),
  /** `loadBalancerClass` values served beside the provider's own. */
  classes: z.array(leaf(text)).optional(),
  /** Passed to the provider, which validates it. */
  config: z.unknown().optional(),
});

const providerMap = z.record(z.string(), section.nullable());
const providerList = z.array(leaf(text));

const file = z.strictObject({
  kubeconfig: leaf(text).optional(),
  context: leaf(text).optional(),
  clusterId: leaf(text).optional(),
  clusterName: leaf(text).optional(),
  providers: providerMap.optional(),
  defaultProvider: leaf(text).optional(),
  leaderElection: z
    .strictObject({
      enabled: leaf(flag).optional(),
      namespace: leaf(text).optional(),
      leaseDuration: leaf(KINDS.election).optional(),
      renewDeadline: leaf(KINDS.election).optional(),
      retryPeriod: leaf(KINDS.election).optional(),
    })
    .optional(),
  sweepInterval: leaf(KINDS.sweepInterval).optional(),
  drift: leaf(KINDS.drift).optional(),
  deleteOrphans: leaf(flag).optional(),
  allocateNodePorts: leaf(flag).optional(),
  concurrentSyncs: leaf(KINDS.concurrentSyncs).optional(),
  listen: leaf(listenAddress).optional(),
  logLevel: leaf(KINDS.logLevel).optional(),
});

/** The keys of the top level. */
export const KEYS: readonly string[] = Object.keys(file.shape);

/** A configuration file that has been validated. Durations are milliseconds; what it does not say is absent. */
export type FileSettings = z.output<typeof file>;

/**
 * Reads and validates a configuration file (YAML). Paths in it count from its own directory.
 *
 * @throws UsageError with one line for each thing that is wrong: file, line, key path, what is expected, what it has.
 */
export function readConfigFile(path: string): FileSettings {
  let source: string;
  try {
    source = readFileSync(path, 'utf8');
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new UsageError([`cannot read the configuration file: ${why}. Check the path given to --config.`]);
  }
  return fromDirectory(parseConfig(source, path), dirname(path));
}

/** Validates the text of a configuration file; `name` is what messages call it. @throws UsageError as above. */
export function parseConfig(source: string, name: string): FileSettings {
  const lines = new LineCounter();
  const document = parseDocument(source, { lineCounter: lines, prettyErrors: false });
  if (document.errors.length > 0) {
    throw new UsageError(
      document.errors.map(
        ({ message, pos }) => `${name}:${lines.linePos(pos[0]).line}: this is not valid YAML: ${message}`,
      ),
    );
  }
  const { value, problems: listed } = withProviderMap((document.toJS() ?? {}) as unknown);
  const result = file.safeParse(value);
  const where = (keys: readonly PropertyKey[]): string => `${name}${lineOf(document, lines, keys)}`;
  const problems = [
    ...[...listed, ...(result.success ? contradictions(result.data) : [])].map(
      ([key, what]) => `${where([key])}: ${what}`,
    ),
    ...(result.error?.issues ?? []).flatMap((issue) => problemsOf(issue, { value, where })),
  ];
  if (!result.success || problems.length > 0)
    throw new UsageError(problems.toSorted((a, b) => lineIn(a) - lineIn(b)));
  return result.data;
}

/** What is wrong under a key of the file. */
type Problem = readonly [key: string, what: string];

/** `providers: [a, b]` is short for a map with sections that say nothing. */
function withProviderMap(value: unknown): {
  readonly value: unknown;
  readonly problems: readonly Problem[];
} {
  const listed = isMap(value) ? value['providers'] : undefined;
  if (!isMap(value) || !Array.isArray(listed)) return { value, problems: [] };
  const { providers: _list, ...others } = value;
  const list = providerList.safeParse(listed);
  if (!list.success) {
    const problems = list.error.issues.map(({ path, message }): Problem => [
      'providers',
      `${pathText(['providers', ...path])}: ${message}`,
    ]);
    return { value: others, problems };
  }
  const names = list.data;
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  return {
    value: { ...others, providers: Object.fromEntries(names.map((name) => [name, {}])) },
    problems:
      twice === undefined
        ? []
        : [['providers', `providers: ${shown(twice)} is listed twice; once is enough`]],
  };
}

/** What no single value shows. */
function contradictions(settings: FileSettings): readonly Problem[] {
  const {
    leaseDuration = 15_000,
    renewDeadline = 10_000,
    retryPeriod = 2_000,
  } = settings.leaderElection ?? {};
  const found: Problem[] = [];
  if (renewDeadline >= leaseDuration) {
    found.push([
      'leaderElection',
      `leaderElection.renewDeadline: expected less than leaseDuration (${leaseDuration / 1000}s), got ${renewDeadline / 1000}s`,
    ]);
  }
  if (retryPeriod * 2 > renewDeadline) {
    found.push([
      'leaderElection',
      `leaderElection.retryPeriod: expected at most half of renewDeadline (${renewDeadline / 1000}s), got ${retryPeriod / 1000}s`,
    ]);
  }
  if (settings.providers !== undefined && Object.keys(settings.providers).length === 0)
    found.push(['providers', 'providers: expected at least one provider such as local, got none']);
  return found;
}

interface Context {
  readonly value: unknown;
  readonly where: (keys: readonly PropertyKey[]) => string;
}

type Issue = z.core.$ZodIssue;

function problemsOf(issue: Issue, { value, where }: Context): readonly string[] {
  const path = issue.path;
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map(
      (key) =>
        `${where([...path, key])}: ${pathText([...path, key])}: unknown key; ${suggestion(key, knownKeys(path))}`,
    );
  }
  if (issue.code === 'invalid_type') {
    const expected = issue.expected === 'array' ? 'a list' : 'a map of settings';
    const at = path.length === 0 ? 'the file' : pathText(path);
    return [`${where(path)}: ${at}: expected ${expected}, got ${shown(valueAt(value, path))}`];
  }
  return [`${where(path)}: ${pathText(path)}: ${issue.message}`];
}

function knownKeys(path: readonly PropertyKey[]): readonly string[] {
  if (path.length === 0) return KEYS;
  if (path[0] === 'providers') return Object.keys(section.shape);
  return Object.keys(file.shape.leaderElection.unwrap().shape);
}

/** `providers.local.classes[0]` */
function pathText(path: readonly PropertyKey[]): string {
  return path
    .map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`))
    .join('')
    .replace(/^\./, '');
}

function lineOf(document: Document, lines: LineCounter, path: readonly PropertyKey[]): string {
  for (let length = path.length; length > 0; length--) {
    const node = document.getIn(path.slice(0, length), true) as
      | { readonly range?: readonly number[] }
      | undefined;
    const offset = node?.range?.[0];
    if (offset !== undefined) return `:${lines.linePos(offset).line}`;
  }
  return '';
}

/** In the order of the file, so that it can be corrected from top to bottom. */
function lineIn(problem: string): number {
  return Number(/:(\d+): /.exec(problem)?.[1] ?? 0);
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown> | null)?.[key], value);
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Makes the paths of a file absolute, so that it means the same wherever Berth is started. */
function fromDirectory(settings: FileSettings, directory: string): FileSettings {
  const { kubeconfig, providers } = settings;
  const absolute = (spec: string): string => (/^\.{1,2}(\/|$)/.test(spec) ? resolve(directory, spec) : spec);
  return {
    ...settings,
    ...(kubeconfig === undefined ? {} : { kubeconfig: resolve(directory, kubeconfig) }),
    ...(providers === undefined
      ? {}
      : {
          providers: Object.fromEntries(
            Object.entries(providers).map(([name, section]) => {
              const spec = section?.provider ?? name;
              return [name, isPath(spec) ? { ...section, provider: absolute(spec) } : section];
            }),
          ),
        }),
  };
}
