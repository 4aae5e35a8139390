import { BerthError, type ErrorKind } from '../model/errors.ts';
import { http } from './http.ts';

/** What went wrong with an API request: one stable word each, from the HTTP status and `Status.reason`, never the text. */
export type ApiErrorCode =
  | 'ApiBadRequest'
  | 'ApiUnauthorized'
  | 'ApiForbidden'
  | 'ApiNotFound'
  | 'ApiAlreadyExists'
  | 'ApiConflict'
  | 'ApiExpired'
  | 'ApiInvalid'
  | 'ApiThrottled'
  | 'ApiTimeout'
  | 'ApiUnavailable'
  | 'ApiServerError'
  | 'ApiUnreachable'
  | 'ApiBadAnswer';

interface Meaning {
  readonly kind: ErrorKind;
  readonly remedy: string;
}

const again = 'Berth tries again by itself';

/** What each code means for the core, and for the reader. */
const meanings: Readonly<Record<ApiErrorCode, Meaning>> = {
  ApiBadRequest: {
    kind: 'Denied',
    remedy: 'The server or an admission webhook refuses this request: its words above say why',
  },
  ApiUnauthorized: {
    kind: 'Denied',
    remedy: "Renew the kubeconfig's credentials, or the ServiceAccount token",
  },
  ApiForbidden: {
    kind: 'Denied',
    remedy: "Grant the permission in Berth's ClusterRole (the manifests have the full list)",
  },
  ApiNotFound: { kind: 'Conflict', remedy: 'It is gone or was never there; Berth looks again by itself' },
  ApiAlreadyExists: {
    kind: 'Conflict',
    remedy: 'Somebody else created it first; Berth looks again by itself',
  },
  ApiConflict: {
    kind: 'Conflict',
    remedy: 'The object was changed meanwhile; Berth reads it again by itself',
  },
  ApiExpired: { kind: 'Transient', remedy: 'Berth lists everything again by itself' },
  ApiInvalid: {
    kind: 'Denied',
    remedy: 'The server or an admission webhook refuses the value: its words above say which',
  },
  ApiThrottled: { kind: 'Throttled', remedy: `${again} after the pause that the server asks for` },
  ApiTimeout: { kind: 'Transient', remedy: `${again}; if it lasts, look at the load of the API server` },
  ApiUnavailable: {
    kind: 'Transient',
    remedy: `${again}; if it lasts, look at the health of the API server`,
  },
  ApiServerError: { kind: 'Transient', remedy: `${again}; if it lasts, the API server's log has the cause` },
  ApiUnreachable: {
    kind: 'Transient',
    remedy: `${again}; if it lasts, check that the API server runs and that the kubeconfig names its address`,
  },
  ApiBadAnswer: {
    kind: 'Transient',
    remedy: `${again}; if it lasts, check that the kubeconfig names a Kubernetes API server and no proxy's login page`,
  },
};

/** What an `ApiError` is made of. */
export interface ApiErrorDetails {
  /** The request in words, such as `PATCH /api/v1/...`. */
  readonly what: string;
  readonly message: string;
  /** HTTP status; 0 when there was no answer. */
  readonly status?: number;
  /** `Status.reason` as the server gave it. */
  readonly reason?: string;
  readonly retryAfterMs?: number;
  /** `Status.details`: what kind, name and causes the server names. */
  readonly details?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

/**
 * A request to the API server that failed. `code` says how, `kind` what the core does about it, `retryAfterMs` when
 * the server wants to hear from us again (set only if it said so).
 */
export class ApiError extends BerthError {
  readonly kind: ErrorKind;
  declare readonly code: ApiErrorCode;
  readonly status: number;
  readonly reason: string;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ApiErrorCode, given: ApiErrorDetails) {
    super(code, {
      message: `${given.what}: ${given.message}`,
      remedy: meanings[code].remedy,
      ...(given.retryAfterMs === undefined ? {} : { retryAfterMs: given.retryAfterMs }),
      cause: given.cause,
    });
    this.kind = meanings[code].kind;
    this.status = given.status ?? 0;
    this.reason = given.reason ?? '';
    this.details = given.details ?? {};
  }
}

/** Whether the value is an `ApiError`, and one with this code if a code is given. */
export function isApiError(value: unknown, code?: ApiErrorCode): value is ApiError {
  return value instanceof ApiError && (code === undefined || value.code === code);
}

/** What is known of an answer with a failing status. `retryAfter` is the header's text. */
export interface FailedAnswer {
  readonly what: string;
  readonly status: number;
  readonly text: string;
  readonly retryAfter?: string | undefined;
}

/** The error for an HTTP answer with a status of 300 or above; its body is a `Status` object or anything else. */
export function errorFromAnswer(answer: FailedAnswer): ApiError {
  const status = parseStatus(answer.text);
  return errorFromStatus({ ...status, code: answer.status }, answer);
}

/** The error for a `Status` object, which also comes as the object of a watch's ERROR event. */
export function errorFromStatus(
  status: Readonly<Record<string, unknown>>,
  { what, retryAfter }: { readonly what: string; readonly retryAfter?: string | undefined },
): ApiError {
  const number = typeof status['code'] === 'number' ? status['code'] : 0;
  const reason = typeof status['reason'] === 'string' ? status['reason'] : '';
  const details = isRecord(status['details']) ? status['details'] : {};
  const text = typeof status['message'] === 'string' ? status['message'] : '';
  const retryAfterMs = retryAfterOf(retryAfter) ?? secondsToMs(details['retryAfterSeconds']);
  return new ApiError(classify(number, reason), {
    what,
    message:
      `${number} ${reason || (http.STATUS_CODES[number] ?? '')}${text === '' ? '' : `: ${text}`}`.trimEnd(),
    status: number,
    reason,
    details,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}

/** The error for a request that got no answer: refused, reset, unknown host, bad certificate. */
export function errorFromNetwork(cause: unknown, what: string): ApiError {
  const message = cause instanceof Error ? cause.message || errnoOf(cause) : String(cause);
  return new ApiError('ApiUnreachable', { what, message: message || 'connection failed', cause });
}

/** The errno (`ECONNREFUSED`) or TLS code (`CERT_HAS_EXPIRED`) of a network error, `""` when it has none. */
export function errnoOf(error: unknown): string {
  return isRecord(error) && typeof error['code'] === 'string' ? error['code'] : '';
}

function classify(status: number, reason: string): ApiErrorCode {
  if (status === 409) return reason === 'AlreadyExists' ? 'ApiAlreadyExists' : 'ApiConflict';
  return (
    byStatus[status] ??
    (status >= 400 && status < 500 ? 'ApiBadRequest' : (byReason[reason] ?? 'ApiServerError'))
  );
}

const byStatus: Readonly<Record<number, ApiErrorCode>> = {
  401: 'ApiUnauthorized',
  403: 'ApiForbidden',
  404: 'ApiNotFound',
  408: 'ApiTimeout',
  410: 'ApiExpired',
  422: 'ApiInvalid',
  429: 'ApiThrottled',
  502: 'ApiUnavailable',
  503: 'ApiUnavailable',
  504: 'ApiTimeout',
};

/** Used where the number says little: a 500 or a Status without a number. */
const byReason: Readonly<Record<string, ApiErrorCode>> = {
  Expired: 'ApiExpired',
  Gone: 'ApiExpired',
  ServerTimeout: 'ApiTimeout',
  Timeout: 'ApiTimeout',
  ServiceUnavailable: 'ApiUnavailable',
  TooManyRequests: 'ApiThrottled',
};

/** `Retry-After` in milliseconds: seconds, or an HTTP date (RFC 9110, section 10.2.3). */
function retryAfterOf(header: string | undefined): number | undefined {
  if (header === undefined) return undefined;
  if (/^\s*\d+\s*$/.test(header)) return Number(header) * 1000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now());
}

function secondsToMs(value: unknown): number | undefined {
  return typeof value === 'number' && value > 0 ? value * 1000 : undefined;
}

function parseStatus(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) && value['kind'] === 'Status' ? value : {};
  } catch {
    return text.trim() === '' ? {} : { message: text.trim().slice(0, 300) };
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
