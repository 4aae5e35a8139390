import { z } from 'zod';
import type { SettingDefinition } from '@berth/core';

/** Prefix of the annotations. */
const PREFIX = 'local.berth.dev/';

interface WholeNumber {
  readonly name: string;
  readonly unit: string;
  readonly from: number;
  readonly to: number;
  readonly default: number;
  readonly doc: string;
}

/** An annotation with a whole number; `numbered` ones can have another default in the configuration. */
function number({ name, unit, from, to, doc, ...rest }: WholeNumber): SettingDefinition<number> {
  return {
    annotations: [`${PREFIX}${name}`],
    type: `a whole number${unit === '' ? '' : ` of ${unit}`} from ${from} to ${to}`,
    default: rest.default,
    doc,
    schema: z
      .string()
      .regex(/^\s*\d{1,9}\s*$/)
      .transform(Number)
      .pipe(z.number().min(from).max(to)),
  };
}

interface Choice<T extends string> {
  readonly name: string;
  readonly values: readonly [T, ...T[]];
  readonly default: T;
  readonly doc: string;
}

function choice<T extends string>({ name, values, doc, ...rest }: Choice<T>): SettingDefinition<T> {
  return {
    annotations: [`${PREFIX}${name}`],
    type: values.map((value) => `\`${value}\``).join(' or '),
    default: rest.default,
    doc,
    schema: z.enum(values),
  };
}

/** All annotations of the provider, with type, default and meaning. */
export const settings = {
  proxyProtocol: choice({
    name: 'proxy-protocol',
    values: ['none', 'v2'],
    default: 'none',
    doc: 'Whether each TCP connection begins with a PROXY protocol header, which tells the backend the client’s address.',
  }),
  idleTimeoutSeconds: number({
    name: 'idle-timeout-seconds',
    unit: 'seconds',
    from: 1,
    to: 86_400,
    default: 350,
    doc: 'How long a TCP connection may be silent before it is reset.',
  }),
  udpIdleTimeoutSeconds: number({
    name: 'udp-idle-timeout-seconds',
    unit: 'seconds',
    from: 1,
    to: 86_400,
    default: 60,
    doc: 'How long a UDP client keeps its target without a datagram in either direction.',
  }),
  connectTimeoutSeconds: number({
    name: 'connect-timeout-seconds',
    unit: 'seconds',
    from: 1,
    to: 60,
    default: 3,
    doc: 'How long a target may take to accept a connection before the next one is tried (three at most).',
  }),
  drainSeconds: number({
    name: 'drain-seconds',
    unit: 'seconds',
    from: 0,
    to: 3_600,
    default: 30,
    doc: 'How long TCP connections may go on after their target or their listener was removed.',
  }),
  maxConnections: number({
    name: 'max-connections',
    unit: '',
    from: 1,
    to: 1_000_000,
    default: 10_000,
    doc: 'Connections of one port at once; further TCP clients are reset, and the oldest UDP client is forgotten.',
  }),
  healthCheckProtocol: choice({
    name: 'health-check-protocol',
    values: ['tcp', 'http', 'none'],
    default: 'tcp',
    doc: 'How targets are probed where Kubernetes does not say it (externalTrafficPolicy: Local does).',
  }),
  healthCheckPort: number({
    name: 'health-check-port',
    unit: '',
    from: 0,
    to: 65_535,
    default: 0,
    doc: 'Port on the node that is probed; 0 is the node port (for UDP that of the first TCP port, if there is one).',
  }),
  healthCheckPath: {
    annotations: [`${PREFIX}health-check-path`],
    type: 'a path that begins with /',
    default: '/',
    doc: 'What an HTTP probe asks for; answers from 200 to 399 are good.',
    schema: z.string().regex(/^\/[\x21-\x7e]{0,1023}$/),
  },
  healthCheckIntervalSeconds: number({
    name: 'health-check-interval-seconds',
    unit: 'seconds',
    from: 1,
    to: 300,
    default: 5,
    doc: 'Time between two probes of a target.',
  }),
  healthCheckTimeoutSeconds: number({
    name: 'health-check-timeout-seconds',
    unit: 'seconds',
    from: 1,
    to: 60,
    default: 2,
    doc: 'How long a probe may take.',
  }),
  healthCheckHealthyThreshold: number({
    name: 'health-check-healthy-threshold',
    unit: '',
    from: 1,
    to: 10,
    default: 2,
    doc: 'Good probes in a row that bring a target back.',
  }),
  healthCheckUnhealthyThreshold: number({
    name: 'health-check-unhealthy-threshold',
    unit: '',
    from: 1,
    to: 10,
    default: 2,
    doc: 'Bad probes in a row that take a target out.',
  }),
} as const satisfies Readonly<Record<string, SettingDefinition<number> | SettingDefinition<string>>>;

/** The values of the annotations. A type alias, so that it is `Json`. */
export type LocalSettings = {
  readonly proxyProtocol: 'none' | 'v2';
  readonly idleTimeoutSeconds: number;
  readonly udpIdleTimeoutSeconds: number;
  readonly connectTimeoutSeconds: number;
  readonly drainSeconds: number;
  readonly maxConnections: number;
  readonly healthCheckProtocol: 'tcp' | 'http' | 'none';
  readonly healthCheckPort: number;
  readonly healthCheckPath: string;
  readonly healthCheckIntervalSeconds: number;
  readonly healthCheckTimeoutSeconds: number;
  readonly healthCheckHealthyThreshold: number;
  readonly healthCheckUnhealthyThreshold: number;
};

/** The table with other defaults. */
export function settingsWith(defaults: Partial<LocalSettings>): typeof settings {
  const changed = Object.entries(settings).map(([name, definition]) => {
    const value = defaults[name as keyof LocalSettings];
    return [name, value === undefined ? definition : { ...definition, default: value }];
  });
  return Object.fromEntries(changed) as typeof settings;
}
