import type { Group } from '../election/types.ts';
import type { GroupView } from './view.ts';

/** Remembers groups, so that the election gets the same object for as long as a group says the same. */
export class GroupMemory {
  readonly #known = new Map<string, { readonly text: string; readonly group: Group }>();

  /** The groups of the view, the same objects where nothing changed; `undefined` when nothing changed at all. */
  changed(view: ReadonlyMap<string, GroupView>): readonly Group[] | undefined {
    let changed = this.#known.size !== view.size;
    const groups = [...view.values()].map(({ group }) => {
      const text = textOf(group);
      const known = this.#known.get(group.key);
      if (known?.text === text) return known.group;
      changed = true;
      this.#known.set(group.key, { text, group });
      return group;
    });
    for (const key of this.#known.keys()) if (!view.has(key)) this.#known.delete(key);
    return changed ? groups : undefined;
  }
}

function textOf({ addresses, eligible, known, former, epoch, failback }: Group): string {
  return JSON.stringify([...addresses, ...eligible, ...known, former, epoch, failback]);
}
