import { connect } from 'node:net';
import { encodeProxyHeader } from './proxy-header.ts';
import type { CheckSpec } from './health.ts';

/** Importing it would load undici (see `src/kube/http.ts`). */
const { get } = process.getBuiltinModule('node:http');

/** Asks a target once whether it works. Never throws; aborting the signal counts as `false`. */
export type Probe = (spec: CheckSpec, signal: AbortSignal) => Promise<boolean>;

/** Probes by TCP connect, or by HTTP GET where any status from 200 to 399 is good. */
export const probe: Probe = (spec, signal) => {
  const limited = AbortSignal.any([signal, AbortSignal.timeout(spec.timeoutMs)]);
  return spec.kind === 'http' ? probeHttp(spec, limited) : probeTcp(spec, limited);
};

function probeTcp(spec: CheckSpec, signal: AbortSignal): Promise<boolean> {
  if (signal.aborted) return Promise.resolve(false);
  return new Promise((resolve) => {
    const socket = connect({ host: spec.host, port: spec.port, autoSelectFamily: false });
    const finish = (healthy: boolean): void => {
      signal.removeEventListener('abort', onAbort);
      socket.destroy();
      resolve(healthy);
    };
    const onAbort = (): void => finish(false);
    signal.addEventListener('abort', onAbort, { once: true });
    socket.on('error', () => finish(false));
    socket.on('connect', () => {
      // A backend that waits for the header would log a broken one; LOCAL says that nobody is behind this connection.
      if (spec.proxyProtocol === true) socket.write(encodeProxyHeader(undefined), () => finish(true));
      else finish(true);
    });
  });
}

function probeHttp(spec: CheckSpec, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get(
      { host: spec.host, port: spec.port, path: spec.path ?? '/', agent: false, signal },
      (response) => {
        const { statusCode = 0 } = response;
        response.destroy();
        resolve(statusCode >= 200 && statusCode < 400);
      },
    );
    request.on('error', () => resolve(false));
  });
}
