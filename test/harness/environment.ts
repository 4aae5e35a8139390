import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';

/** What the test harness reads from the environment, in one place so that tests can pass their own. */
export interface HarnessEnvironment {
  /** Directory for what is built once and kept: `$XDG_CACHE_HOME/berth`, else `~/.cache/berth`. */
  readonly cacheDir: string;
  /** `KUBEBUILDER_ASSETS`: directory with kube-apiserver and etcd (the `setup-envtest` convention). */
  readonly kubebuilderAssets?: string;
  /** `CI=true`: a part that the machine cannot give is a failing test instead of a skip. */
  readonly ci: boolean;
  /** `BERTH_CALLS_DIR`: where the operations that a whole run calls are written down; set by `test/run.ts`. */
  readonly callsDir?: string;
  /** The environment that child processes (Go, etcd, kube-apiserver) get. */
  readonly forChildren: Readonly<Record<string, string | undefined>>;
}

/** Reads the environment of this process; a relative `XDG_CACHE_HOME` is ignored, as the XDG specification asks. */
export function harnessEnvironment(): HarnessEnvironment {
  const {
    XDG_CACHE_HOME: cacheHome,
    KUBEBUILDER_ASSETS: assets,
    CI: ci,
    BERTH_CALLS_DIR: callsDir,
  } = process.env;
  return {
    cacheDir: join(cacheHome && isAbsolute(cacheHome) ? cacheHome : join(homedir(), '.cache'), 'berth'),
    ...(assets ? { kubebuilderAssets: assets } : {}),
    ...(callsDir ? { callsDir } : {}),
    ci: ci === 'true',
    forChildren: process.env,
  };
}
