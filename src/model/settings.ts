/**
 * The Standard Schema interface (https://standardschema.dev, version 1): what zod, valibot and others implement, so
 * that a provider may bring the library it likes. Only the part that the core calls is described.
 */
export interface Schema<Output> {
  readonly '~standard': {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>;
  };
}

/** Outcome of a validation: a value, or what is wrong and where. */
export type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] };

/** One thing that is wrong. */
export interface SchemaIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** One annotation that a provider understands. Its text is validated by `schema`, which turns it into a value. */
export interface SettingDefinition<T = unknown> {
  /** Full annotation names; the first that a Service has wins. The first name is the one to recommend. */
  readonly annotations: readonly [string, ...string[]];
  /** The form of the value in words, for messages: "whole number from 1 to 3600". */
  readonly type: string;
  /** Value without the annotation. */
  readonly default: T;
  /** What it does, in one sentence. */
  readonly doc: string;
  /** From the annotation's text to the value. Must be synchronous. */
  readonly schema: Schema<T>;
  /**
   * The names end in `*` and stand for a family of annotations: the value is a record of what `schema` makes of each,
   * by what stands where the star is.
   */
  readonly each?: true;
  /** Why the annotation is known and not carried out; who uses it gets an event that says so. */
  readonly unsupported?: string;
}

/** All settings of a provider by the name under which its planner reads them. */
export type SettingsTable = Readonly<Record<string, SettingDefinition>>;

/** The values that a settings table yields. */
export type SettingsOf<Table extends SettingsTable> = {
  readonly [Name in keyof Table]: Table[Name] extends SettingDefinition<infer T> ? T : never;
};
