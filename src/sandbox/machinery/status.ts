/** The API server's error answers: `Status` objects (meta/v1 Status, "API conventions: Response Status Kind"). */

/** One cause of an `Invalid` Status: which field, what kind of mistake, in words. */
export interface FieldCause {
  readonly reason:
    | 'FieldValueInvalid'
    | 'FieldValueRequired'
    | 'FieldValueForbidden'
    | 'FieldValueDuplicate'
    | 'FieldValueNotSupported'
    | 'FieldValueTooLong';
  readonly field: string;
  readonly message: string;
}

/** Body of an error answer. */
export interface StatusBody {
  readonly kind: 'Status';
  readonly apiVersion: 'v1';
  readonly metadata: Record<string, never>;
  readonly status: 'Failure';
  readonly message: string;
  readonly reason?: string;
  readonly details?: {
    readonly name?: string;
    readonly group?: string;
    readonly kind?: string;
    readonly uid?: string;
    readonly causes?: readonly (
      | FieldCause
      | { readonly reason?: string; readonly message: string; readonly field?: string }
    )[];
    readonly retryAfterSeconds?: number;
  };
  readonly code: number;
}

/** A refusal that the HTTP layer answers as a Status. `code` is the HTTP status. */
export class ApiError extends Error {
  readonly code: number;
  readonly reason: string;
  readonly details: StatusBody['details'];

  constructor(code: number, reason: string, answer: { message: string; details?: StatusBody['details'] }) {
    super(answer.message);
    this.name = 'ApiError';
    this.code = code;
    this.reason = reason;
    this.details = answer.details;
  }

  /** The Status object to send. */
  status(): StatusBody {
    return {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message: this.message,
      ...(this.reason === '' ? {} : { reason: this.reason }),
      ...(this.details ? { details: this.details } : {}),
      code: this.code,
    };
  }
}

/** Group, plural and kind: what an error needs to know about a resource. */
export interface Named {
  readonly group: string;
  readonly plural: string;
  readonly kind: string;
}

/** `services` or `leases.coordination.k8s.io`: how messages name a resource. */
export function qualified(type: Named): string {
  return type.group === '' ? type.plural : `${type.plural}.${type.group}`;
}

const about = (type: Named, name: string): NonNullable<StatusBody['details']> => ({
  name,
  ...(type.group === '' ? {} : { group: type.group }),
  kind: type.plural,
});

/** 404 NotFound of an object. */
export function notFound(type: Named, name: string): ApiError {
  return new ApiError(404, 'NotFound', {
    message: `${qualified(type)} "${name}" not found`,
    details: about(type, name),
  });
}

/** 404 of a path that nothing serves. */
export function noSuchResource(): ApiError {
  return new ApiError(404, 'NotFound', {
    message: 'the server could not find the requested resource',
    details: {},
  });
}

/** 409 AlreadyExists. */
export function alreadyExists(type: Named, name: string, prefix = ''): ApiError {
  return new ApiError(409, 'AlreadyExists', {
    message: `${prefix}${qualified(type)} "${name}" already exists`,
    details: about(type, name),
  });
}

/** 409 Conflict: a precondition (resourceVersion, uid) does not hold. */
export function conflict(type: Named, name: string, why = STALE): ApiError {
  return new ApiError(409, 'Conflict', {
    message: `Operation cannot be fulfilled on ${qualified(type)} "${name}": ${why}`,
    details: about(type, name),
  });
}

const STALE = 'the object has been modified; please apply your changes to the latest version and try again';

/** 400 BadRequest. */
export function badRequest(message: string): ApiError {
  return new ApiError(400, 'BadRequest', { message });
}

/** 403 Forbidden. */
export function forbidden(type: Named, name: string, why: string): ApiError {
  return new ApiError(403, 'Forbidden', {
    message: `${qualified(type)} "${name}" is forbidden: ${why}`,
    details: about(type, name),
  });
}

/** 403 Forbidden: the namespace takes nothing new, because it goes away. */
export function namespaceTerminating(type: Named, name: string, namespace: string): ApiError {
  const why = `unable to create new content in namespace ${namespace} because it is being terminated`;
  const cause = {
    reason: 'NamespaceTerminating',
    message: `namespace ${namespace} is being terminated`,
    field: 'metadata.namespace',
  };
  return new ApiError(403, 'Forbidden', {
    message: `${qualified(type)} "${name}" is forbidden: ${why}`,
    details: { ...about(type, name), causes: [cause] },
  });
}

/** 405 MethodNotAllowed. */
export function methodNotAllowed(): ApiError {
  return new ApiError(405, 'MethodNotAllowed', {
    message: 'the server does not allow this method on the requested resource',
    details: {},
  });
}

/** 410 Expired: the resourceVersion is older than the history that is kept. */
export function expired(message: string): ApiError {
  return new ApiError(410, 'Expired', { message });
}

/** 415 UnsupportedMediaType, naming what is accepted. */
export function unsupportedMediaType(accepted: readonly string[]): ApiError {
  return new ApiError(415, 'UnsupportedMediaType', {
    message: `the body of the request was in an unknown format - accepted media types include: ${accepted.join(', ')}`,
  });
}

/** 422 Invalid with the causes. The kind may be empty, as it is for a patch that does not decode. */
export function invalid(type: Named | undefined, name: string, causes: readonly FieldCause[]): ApiError {
  const kind = type === undefined ? '' : type.group === '' ? type.kind : `${type.kind}.${type.group}`;
  const lines = causes.map((cause) => `${cause.field}: ${cause.message}`);
  const list = lines.length === 1 ? lines[0] : `[${lines.join(', ')}]`;
  return new ApiError(422, 'Invalid', {
    message: `${kind} "${name}" is invalid: ${list}`,
    details: {
      ...(name === '' ? {} : { name }),
      ...(type === undefined || type.group === '' ? {} : { group: type.group }),
      ...(type === undefined ? {} : { kind: type.kind }),
      causes,
    },
  });
}

/** Collects the causes of one `Invalid`, in the words of the API server's field errors. */
export class FieldErrors {
  readonly causes: FieldCause[] = [];

  invalid(field: string, value: unknown, why: string): void {
    this.#add('FieldValueInvalid', field, `Invalid value: ${shown(value)}: ${why}`);
  }

  required(field: string, why = ''): void {
    this.#add('FieldValueRequired', field, why === '' ? 'Required value' : `Required value: ${why}`);
  }

  forbidden(field: string, why: string): void {
    this.#add('FieldValueForbidden', field, `Forbidden: ${why}`);
  }

  duplicate(field: string, value: unknown): void {
    this.#add('FieldValueDuplicate', field, `Duplicate value: ${shown(value)}`);
  }

  tooLong(field: string, limit: number): void {
    this.#add('FieldValueTooLong', field, `Too long: may not be more than ${limit} bytes`);
  }

  /** Adds a cause unless `value` is one of `supported`. */
  oneOf(field: string, value: string, supported: readonly string[]): void {
    if (supported.includes(value)) return;
    const list = supported.map((each) => `"${each}"`).join(', ');
    this.#add(
      'FieldValueNotSupported',
      field,
      `Unsupported value: ${shown(value)}: supported values: ${list}`,
    );
  }

  /** @throws ApiError 422 if anything was found. */
  throwIfAny(type: Named, name: string): void {
    if (this.causes.length > 0) throw invalid(type, name, this.causes);
  }

  #add(reason: FieldCause['reason'], field: string, message: string): void {
    this.causes.push({ reason, field, message });
  }
}

function shown(value: unknown): string {
  return value === undefined ? 'null' : JSON.stringify(value);
}
