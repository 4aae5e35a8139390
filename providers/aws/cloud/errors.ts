import {
  Conflict,
  Denied,
  InvalidSpec,
  isBerthError,
  REASONS,
  Throttled,
  Transient,
  type BerthError,
} from '@berth/core';
import { statementOf } from '../iam-policy.ts';

/** The two services that the provider talks to, by the prefix of their IAM actions. */
export type AwsService = 'elasticloadbalancing' | 'ec2';

/** Which call failed. */
export interface Call {
  readonly service: AwsService;
  readonly operation: string;
}

/** Codes of both services by what they mean. Sources: API references of ELBv2 and EC2, "Errors" and "Common errors". */
const THROTTLED = new Set([
  'Throttling',
  'ThrottlingException',
  'ThrottledException',
  'RequestThrottled',
  'RequestThrottledException',
  'RequestLimitExceeded',
  'TooManyRequestsException',
  'TooManyRequests',
  'SlowDown',
  'BandwidthLimitExceeded',
  'EC2ThrottledException',
  'PriorRequestNotComplete',
]);
const CREDENTIALS = new Set([
  'ExpiredToken',
  'ExpiredTokenException',
  'RequestExpired',
  'InvalidClientTokenId',
  'UnrecognizedClient',
  'UnrecognizedClientException',
  'AuthFailure',
  'SignatureDoesNotMatch',
  'InvalidSignature',
  'IncompleteSignature',
  'MissingAuthenticationToken',
  'CredentialsProviderError',
  'CredentialsError',
  'TokenProviderError',
  'OptInRequired',
]);
const FORBIDDEN = new Set([
  'AccessDenied',
  'AccessDeniedException',
  'UnauthorizedOperation',
  'NotAuthorized',
]);
const GONE = new Set([
  'LoadBalancerNotFound',
  'TargetGroupNotFound',
  'ListenerNotFound',
  'InvalidGroup.NotFound',
  'InvalidGroupId.NotFound',
  'InvalidSecurityGroup',
  'InvalidSecurityGroupID.NotFound',
]);
const NETWORK = new Set([
  'TimeoutError',
  'RequestTimeout',
  'ECONNRESET',
  'ECONNREFUSED',
  'ECONNABORTED',
  'EPIPE',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ETIMEDOUT',
  'UND_ERR_SOCKET',
]);

interface SdkError {
  readonly name?: unknown;
  readonly Code?: unknown;
  readonly code?: unknown;
  readonly message?: unknown;
  readonly $metadata?: { readonly httpStatusCode?: number };
}

/** The code of an SDK error as the API reference writes it; the SDK adds `Exception` to some. */
export function codeOf(error: unknown): string {
  if (typeof error !== 'object' || error === null) return '';
  const { Code, name, code } = error as SdkError;
  const found = [Code, name === 'Error' ? code : name, code].find(
    (one) => typeof one === 'string' && one !== '',
  );
  const text = typeof found === 'string' ? found : '';
  const known = THROTTLED.has(text) || CREDENTIALS.has(text) || FORBIDDEN.has(text);
  return known ? text : text.replace(/Exception$/, '');
}

/** The code of the SDK error behind a classified one. */
export function awsCode(error: unknown): string {
  return isBerthError(error) ? codeOf(error.cause) : codeOf(error);
}

/** Turns whatever a call rejected with into an error that is named for the core's reaction. By code, never by text. */
export function classify(error: unknown, call: Call): BerthError {
  if (isBerthError(error)) return error;
  const code = codeOf(error);
  const action = `${call.service}:${call.operation}`;
  const { message: raw, $metadata } = (typeof error === 'object' && error !== null ? error : {}) as SdkError;
  const text = typeof raw === 'string' && raw !== '' ? raw : String(error);
  const message = `${action}: ${text}${code === '' || text.includes(code) ? '' : ` (${code})`}`;
  const cause = error;
  if (THROTTLED.has(code)) {
    return new Throttled('Throttled', { message, remedy: 'Berth slows down and goes on by itself', cause });
  }
  if (CREDENTIALS.has(code)) {
    return new Denied('CredentialsInvalid', {
      message,
      remedy: 'Renew the credentials that Berth runs with (IRSA, pod identity, instance role or environment)',
      cause,
    });
  }
  if (FORBIDDEN.has(code)) {
    return new Denied('AccessDenied', {
      message,
      remedy: `Allow ${action} to Berth's role: it is in the statement ${statementOf(action)} of \`berth iam-policy\``,
      cause,
    });
  }
  if (isQuota(code)) {
    return new Denied('QuotaExceeded', {
      message,
      remedy: 'Ask AWS for a higher quota (Service Quotas), or delete what is not needed',
      cause,
    });
  }
  if (GONE.has(code)) {
    return new Conflict('ConflictObserved', { message, remedy: REASONS.ConflictObserved.remedy, cause });
  }
  return other({ code, message, cause, status: $metadata?.httpStatusCode ?? 0 });
}

function other({
  code,
  message,
  cause,
  status,
}: {
  code: string;
  message: string;
  cause: unknown;
  status: number;
}): BerthError {
  if (status >= 500 || status === 0 || NETWORK.has(code)) {
    return new Transient('AwsUnavailable', {
      message,
      remedy: 'Berth tries again by itself; look at the AWS Health Dashboard if it lasts',
      cause,
    });
  }
  const specific = SPECIFIC[code];
  return new InvalidSpec(specific?.[0] ?? 'AwsRefused', {
    message,
    remedy: specific?.[1] ?? 'Change what AWS refuses in the Service or its annotations',
    cause,
  });
}

/** Refusals that have one cause in the Service, with what to do about it. */
const SPECIFIC: Readonly<Record<string, readonly [code: string, remedy: string]>> = {
  CertificateNotFound: [
    'CertificateNotFound',
    'Name a certificate in ssl-cert that exists in this region and account',
  ],
  SSLPolicyNotFound: ['SslPolicyNotFound', 'Name a policy in ssl-negotiation-policy that ELBv2 knows'],
  SubnetNotFound: ['SubnetNotFound', 'Name subnets that exist'],
  'InvalidSubnetID.NotFound': ['SubnetNotFound', 'Name subnets that exist'],
  InvalidSubnet: [
    'InvalidSubnet',
    'Use subnets with free addresses, in different zones, with an internet gateway where they face the internet',
  ],
  AllocationIdNotFound: ['EipNotFound', 'Name Elastic IPs of this region and account'],
  'InvalidAllocationID.NotFound': ['EipNotFound', 'Name Elastic IPs of this region and account'],
  'InvalidAddress.NotFound': ['EipNotFound', 'Name an Elastic IP of this region and account'],
  OperationNotPermitted: [
    'DeletionProtected',
    'Turn deletion protection off: set the attribute deletion_protection.enabled=false in the annotation attributes, or in AWS',
  ],
  ALPNPolicyNotSupported: ['AlpnPolicyNotSupported', 'Choose another alpn-policy'],
  'InvalidPrefixListID.NotFound': ['PrefixListNotFound', 'Name prefix lists that exist in this region'],
};

function isQuota(code: string): boolean {
  return (
    /^TooMany(?!Requests)/.test(code) ||
    code.endsWith('LimitExceeded') ||
    code === 'InsufficientFreeAddressesInSubnet'
  );
}
