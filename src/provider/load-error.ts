import type { ErrorDetails } from '../model/errors.ts';

/** Why the providers could not be set up; the process does not start. */
export type ProviderLoadCode =
  | 'ProviderNotFound'
  | 'ProviderInvalid'
  | 'ProviderContractMismatch'
  | 'ProviderConfigInvalid'
  | 'ClassConflict';

/**
 * A provider that cannot be used, found out at start. It is not one of the classified errors of `model/errors.ts`:
 * there is no Service and nothing to try again. The message ends with the remedy.
 */
export class ProviderLoadError extends Error {
  readonly code: ProviderLoadCode;
  readonly remedy: string;

  constructor(code: ProviderLoadCode, { message, remedy, cause }: ErrorDetails) {
    super(`${message}. ${remedy}.`, { cause });
    this.name = 'ProviderLoadError';
    this.code = code;
    this.remedy = remedy;
  }
}
