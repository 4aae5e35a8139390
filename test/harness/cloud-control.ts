/** The services of the test cloud, by LocalStack's names. */
export type Service = 'elbv2' | 'ec2' | 'sts';

/** How the cloud behaves for one account. Times are in milliseconds. */
export interface CloudSettings {
  /** From CreateLoadBalancer until the state is `active`. Default 0. */
  readonly provisioningMs: number;
  /** From registration, or the target group's first listener, until a target is `healthy`. Default 0. */
  readonly targetHealthMs: number;
  /** Factor on a target group's deregistration delay. Default 0.001: 300 s are 0.3 s. */
  readonly drainScale: number;
  /** From DeleteLoadBalancer until its network interfaces are gone and its Elastic IPs free. Default 0. */
  readonly interfaceLingerMs: number;
  /** From DeleteLoadBalancer until its name can be taken again. Default 0. */
  readonly nameLingerMs: number;
  /** From the creation of a resource until Describe calls show it. Default 0. */
  readonly consistencyMs: number;
  /** Added to every call; calls do not wait for each other. Default 0. */
  readonly latencyMs: number;
  /** Instance ids and addresses that fail their health checks. Default none. */
  readonly unhealthyTargets: readonly string[];
  /** ARNs of the certificates that exist; `null`, the default: every well-formed one of this account and region. */
  readonly certificates: readonly string[] | null;
  /** Default 50. */
  readonly loadBalancersLimit: number;
  /** Default 3000. */
  readonly targetGroupsLimit: number;
  /** Per load balancer. Default 50. */
  readonly listenersLimit: number;
  /** Registrations per load balancer and zone; per load balancer when it balances across zones. Default 500. */
  readonly targetsLimit: number;
  /** Per listener, beside the default one. Default 25. */
  readonly certificatesLimit: number;
  /** Per security group, direction and address family. Default 60. */
  readonly rulesLimit: number;
}

/** A rule for calls that go wrong. Without `code`, `disconnect` or `rate` the calls are only delayed. */
export interface Fault {
  /** Default: every service. */
  readonly service?: Service;
  /** An operation or a pattern such as `Describe*`. Default: every operation. */
  readonly operation?: string;
  /** Matching calls that pass before it begins. Default 0. */
  readonly skip?: number;
  /** Matching calls after which it is over. Default: never. */
  readonly times?: number;
  /** The call takes effect, and only its answer is replaced, delayed or lost. Default false. */
  readonly after?: boolean;
  /** The error's code, as in the API reference. */
  readonly code?: string;
  /** HTTP status of the error. Default 400. */
  readonly status?: number;
  readonly message?: string;
  /** Closes the connection without an answer. */
  readonly disconnect?: boolean;
  readonly delayMs?: number;
  /** Calls a second that pass for each service; all others are throttled, with the service's own error. */
  readonly rate?: number;
  /** Calls that pass at once after a pause, with `rate`. Default 1. */
  readonly burst?: number;
}

/** One call as the cloud saw it. */
export interface Call {
  readonly service: Service;
  readonly operation: string;
  readonly parameters: Readonly<Record<string, unknown>>;
  /** Its arrival, in milliseconds since 1970. */
  readonly at: number;
  /** Empty, the code of the error that was the answer, or `disconnected`. */
  readonly outcome: string;
}

/** A fault that is in force. */
export interface ActiveFault {
  /** How many calls it has struck. */
  hits(): Promise<number>;
  remove(): Promise<void>;
}

/** What the tests may do to their account beyond the API of AWS. All of it throws on somebody else's endpoint. */
export interface CloudControl {
  readonly settings: {
    get(): Promise<CloudSettings>;
    set(values: Partial<CloudSettings>): Promise<CloudSettings>;
  };
  readonly faults: {
    /** The oldest fault that matches a call and does not let it pass decides about it. */
    add(fault: Fault): Promise<ActiveFault>;
    /** AccessDenied or UnauthorizedOperation, as an IAM policy without this operation would give. */
    deny(service: 'elbv2' | 'ec2', operation: string): Promise<ActiveFault>;
    /** The errors of both services for credentials that have expired. */
    expireCredentials(): Promise<readonly ActiveFault[]>;
    clear(): Promise<void>;
  };
  readonly calls: {
    /** By service and operation, as in `elbv2:CreateListener`. Refused and failed calls count. */
    counts(): Promise<Readonly<Record<string, number>>>;
    total(): Promise<number>;
    list(): Promise<readonly Call[]>;
    reset(): Promise<void>;
  };
  /** Forgets the account's resources, settings, faults and records. */
  reset(): Promise<void>;
}

/** A question to the control endpoint of our LocalStack. */
interface Question {
  /** Default `GET`. */
  readonly method?: string;
  /** Below `/_berth/`. */
  readonly path: string;
  readonly body?: unknown;
}

/**
 * Asks the control endpoint.
 *
 * @throws Error without an endpoint, which is what somebody else's cloud is, and for questions that it does not know.
 */
export async function askCloud<T>(endpoint: string | undefined, question: Question): Promise<T> {
  if (endpoint === undefined)
    throw new Error(
      'Faults, settings, records and reset exist only in the LocalStack that the tests start themselves. ' +
        'Unset AWS_ENDPOINT_URL, or do without them.',
    );
  const { method = 'GET', path, body } = question;
  const response = await fetch(`${endpoint}/_berth/${path}`, {
    method,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(30_000),
  });
  if (!response.ok)
    throw new Error(`${method} ${path}: ${response.status} ${await response.text()}. Correct the test.`);
  return (await response.json()) as T;
}

/** Control over one account; without an endpoint every use of it is an error. */
export function controlOf(endpoint: string | undefined, account: string): CloudControl {
  const ask = <T>(method: string, path: string, body?: unknown): Promise<T> =>
    askCloud<T>(endpoint, { method, path: `${account}/${path}`, body });
  const add = async (fault: Fault): Promise<ActiveFault> => {
    const { id } = await ask<{ id: number }>('POST', 'faults', fault);
    const hits = async (): Promise<number> => {
      const { faults } = await ask<{ faults: { id: number; hits: number }[] }>('GET', 'faults');
      return faults.find((one) => one.id === id)?.hits ?? 0;
    };
    return { hits, remove: async () => void (await ask('DELETE', `faults?id=${id}`)) };
  };
  const counts = async (): Promise<Record<string, number>> =>
    (await ask<{ counts: Record<string, number> }>('GET', 'calls')).counts;
  return {
    settings: {
      get: () => ask('GET', 'settings'),
      set: (values) => ask('PATCH', 'settings', values),
    },
    faults: {
      add,
      deny: (service, operation) => add(denial(account, service, operation)),
      expireCredentials: () => Promise.all(expired.map(add)),
      clear: async () => void (await ask('DELETE', 'faults')),
    },
    calls: {
      counts,
      total: async () => Object.values(await counts()).reduce((sum, count) => sum + count, 0),
      list: async () => (await ask<{ calls: Call[] }>('GET', 'calls?list=1')).calls,
      reset: async () => void (await ask('DELETE', 'calls')),
    },
    reset: async () => void (await ask('POST', 'reset')),
  };
}

/** Codes: "Common Errors" of the ELBv2 API reference, "Error codes" of the EC2 API reference. */
const expired: readonly Fault[] = [
  {
    service: 'elbv2',
    code: 'ExpiredToken',
    status: 403,
    message: 'The security token included in the request is expired',
  },
  { service: 'ec2', code: 'RequestExpired', status: 400, message: 'Request has expired.' },
];

function denial(account: string, service: 'elbv2' | 'ec2', operation: string): Fault {
  const action = `${service === 'elbv2' ? 'elasticloadbalancing' : service}:${operation}`;
  const why =
    `User: arn:aws:iam::${account}:user/test is not authorized to perform: ${action} ` +
    `because no identity-based policy allows the ${action} action`;
  return service === 'elbv2'
    ? { service, operation, status: 403, code: 'AccessDenied', message: why }
    : {
        service,
        operation,
        status: 403,
        code: 'UnauthorizedOperation',
        message: `You are not authorized to perform this operation. ${why}`,
      };
}
