import type { Host } from '@berth/core';
import type { MetalConfig } from './config.ts';
import { PATHS, poolsOf, toObject, type KubeObject, type Pools } from './objects.ts';
import { conflictOf, Quarantine } from './quarantine.ts';

/** What the controller half reads of the cluster. */
export interface Sources {
  /** The pools, as they are now. */
  pools(): Pools;
  /** The IPAddressPools of the cluster; those that the configuration file replaces are left out. */
  objects(): readonly KubeObject[];
  readonly quarantine: Quarantine;
}

/** Watches what pools are made from; a change of any of it has all Services planned again. */
export function watchSources(config: MetalConfig, host: Host): Sources {
  const { watch, enqueue, log } = host;
  const tell = configGauges(host);
  let known: Pools | undefined;
  const changed = (because: string) => (): void => {
    known = undefined;
    enqueue(undefined, because);
  };
  const ours = ({ namespace }: { namespace: string }): boolean =>
    config.namespace === undefined || namespace === config.namespace;
  const objects = (): readonly KubeObject[] => pools.list().map(toObject).filter(ours);
  let asked: string | undefined;
  const pools = watch({
    path: PATHS.pools,
    onChange: () => {
      const asks = JSON.stringify(objects().map((object) => ({ ...object, status: undefined })));
      // How full a pool is was written by ourselves.
      if (asks === asked) return;
      asked = asks;
      changed('the pools have changed')();
    },
  });
  const namespaces = watch({ path: PATHS.namespaces, onChange: changed('the namespaces have changed') });
  const read = (): Pools => {
    const labels = new Map(
      namespaces
        .list()
        .map(toObject)
        .map((object) => [object.name, object.labels]),
    );
    const found = poolsOf({ config, objects: objects(), namespaces: labels });
    for (const { object, message } of found.problems) log.error({ object }, `left out: ${message}`);
    tell(found.problems.length > 0);
    return found;
  };
  const inFile = new Set(config.pools.map(({ name }) => name));
  return {
    pools: () => (known ??= read()),
    objects: () => objects().filter(({ name }) => !inFile.has(name)),
    quarantine: watchConflicts(host, changed),
  };
}

/** Addresses that a speaker heard a stranger answer for are given to nobody for a while. */
function watchConflicts({ watch, clock, log }: Host, changed: (because: string) => () => void): Quarantine {
  const quarantine = new Quarantine(clock, changed('an address left its quarantine'));
  const statuses = watch({
    path: PATHS.statuses,
    onChange: () => {
      const conflicts = statuses.list().flatMap((raw) => conflictOf(toObject(raw)) ?? []);
      for (const { address, mac } of quarantine.take(conflicts)) {
        log.warn(
          { address, mac },
          'somebody else on the network answers for an address of a pool: quarantined for an hour',
        );
        changed('an address is in quarantine')();
      }
    },
  });
  return quarantine;
}

/** MetalLB's two metrics of its configuration: whether it was read, and whether a part of it is left out. */
function configGauges({ metrics }: Host): (stale: boolean) => void {
  const loaded = metrics.gauge('metallb_k8s_client_config_loaded_bool', 'Whether the pools were read.', []);
  const stale = metrics.gauge(
    'metallb_k8s_client_config_stale_bool',
    'Whether a pool cannot be understood and is left out.',
    [],
  );
  return (isStale) => {
    loaded.record({}, 1);
    stale.record({}, Number(isStale));
  };
}
