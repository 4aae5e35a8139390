import { describe, expect, it } from 'vitest';
import { awsCode, classify, codeOf } from './errors.ts';

const CALL = { service: 'elasticloadbalancing', operation: 'CreateLoadBalancer' } as const;

/** An error as the SDK throws it. */
function sdkError(name: string, status = 400, message = 'said AWS'): Error {
  return Object.assign(new Error(message), { name, $metadata: { httpStatusCode: status } });
}

describe('classify', () => {
  it.each([
    ['Throttling', 400, 'Throttled', 'Throttled'],
    // EC2 answers this one with 503, which alone would mean something else.
    ['RequestLimitExceeded', 503, 'Throttled', 'Throttled'],
    ['ExpiredToken', 403, 'Denied', 'CredentialsInvalid'],
    ['AuthFailure', 401, 'Denied', 'CredentialsInvalid'],
    ['AccessDenied', 403, 'Denied', 'AccessDenied'],
    ['UnauthorizedOperation', 403, 'Denied', 'AccessDenied'],
    ['TooManyLoadBalancersException', 400, 'Denied', 'QuotaExceeded'],
    ['SecurityGroupLimitExceeded', 400, 'Denied', 'QuotaExceeded'],
    ['LoadBalancerNotFoundException', 400, 'Conflict', 'ConflictObserved'],
    ['InvalidGroup.NotFound', 400, 'Conflict', 'ConflictObserved'],
    ['CertificateNotFoundException', 400, 'InvalidSpec', 'CertificateNotFound'],
    ['ValidationError', 400, 'InvalidSpec', 'AwsRefused'],
    ['InternalFailure', 500, 'Transient', 'AwsUnavailable'],
    ['ServiceUnavailable', 503, 'Transient', 'AwsUnavailable'],
    ['TimeoutError', 0, 'Transient', 'AwsUnavailable'],
  ] as const)('%s (%i) is %s with the code %s', (...row) => {
    const [name, status, kind, code] = row;
    const error = classify(sdkError(name, status), CALL);
    expect(error).toMatchObject({ kind, code });
    expect(error.message).toContain('elasticloadbalancing:CreateLoadBalancer');
    expect(error.message).toMatch(/[.!?]$/);
  });

  it('goes by the code and never by the text', () => {
    const misleading = sdkError('ValidationError', 400, 'Throttling: Rate exceeded, AccessDenied');
    expect(classify(misleading, CALL).kind).toBe('InvalidSpec');
  });

  it('names the operation and the statement of the policy when access is denied', () => {
    const { message } = classify(sdkError('AccessDenied', 403), CALL);
    expect(message).toContain('elasticloadbalancing:CreateLoadBalancer');
    expect(message).toContain('the statement BerthCreate');
  });

  it('leaves what is classified already as it is, and keeps the cause', () => {
    const once = classify(sdkError('DuplicateListenerException'), CALL);
    expect(classify(once, CALL)).toBe(once);
    expect(awsCode(once)).toBe('DuplicateListener');
  });

  it('takes a broken connection, and anything else that is no answer, as something that may pass', () => {
    const reset = Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' });
    expect(classify(reset, CALL).kind).toBe('Transient');
    expect(classify('nonsense', CALL).kind).toBe('Transient');
    expect(codeOf(undefined)).toBe('');
  });
});
