/** Custom resources: what a CustomResourceDefinition would define, given when the sandbox starts. */
import type { KubeObject } from '../machinery/objects.ts';
import { kindSchema, resource, type ResourceType } from '../machinery/resource.ts';
import { anything, kept } from '../machinery/schema.ts';
import { ageColumn, type Column, nameColumn } from '../machinery/table.ts';

/** A custom resource type. Its objects are stored as they come: there is no schema to check them against. */
export interface CustomResource {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  /** Default: the kind in lower case. */
  readonly singular?: string;
  readonly shortNames?: readonly string[];
  /** Default true. */
  readonly namespaced?: boolean;
  /** Whether there is a `/status` subresource. Default false. */
  readonly status?: boolean;
  /** As `additionalPrinterColumns`: between name and age. Paths are dotted, `spec.addresses`. */
  readonly columns?: readonly { readonly name: string; readonly path: string; readonly priority?: number }[];
}

/** The served resource for a definition. */
export function customResource(definition: CustomResource): ResourceType {
  const { columns = [], ...names } = definition;
  return resource({
    ...names,
    singular: definition.singular ?? definition.kind.toLowerCase(),
    schema: kindSchema({ spec: kept(anything), status: kept(anything) }),
    columns: [nameColumn, ...columns.map(printerColumn), ageColumn],
    statusCarriesMetadata: false,
    generation: true,
    strategicMerge: false,
    unconditionalUpdate: false,
    rules: definition.status ? { prepare: keepStatus } : {},
  });
}

function keepStatus(next: KubeObject, previous: KubeObject | undefined): void {
  delete next['status'];
  if (previous?.['status'] !== undefined) next['status'] = previous['status'];
}

function printerColumn(column: { name: string; path: string; priority?: number }): Column {
  const steps = column.path.split('.').filter((step) => step !== '');
  return {
    name: column.name,
    priority: column.priority ?? 0,
    cell: (object) => {
      const value = steps.reduce<unknown>(
        (at, step) => (at as Record<string, unknown> | undefined)?.[step],
        object,
      );
      return value === undefined ? '' : typeof value === 'string' ? value : JSON.stringify(value);
    },
  };
}
