import type { Agent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { createSecureContext } from 'node:tls';
import { http } from './http.ts';

/** What one request needs to be accepted: headers (a token), and the agent that holds the TLS identity. */
export interface Authorization {
  readonly headers: Readonly<Record<string, string>>;
  readonly agent: Agent;
}

/** Where an API server is and how to be let in. Made by `connectKube` or `connectPlain`. */
export interface Connection {
  /** Base URL; a path in it (as some multi-cluster gateways have) goes before every request's path. */
  readonly server: URL;
  /** The namespace of the kubeconfig's context or of the pod; `default` when neither names one. */
  readonly namespace: string;
  /** Where this was read from, in words for error messages: a file's path, or `the pod's ServiceAccount`. */
  readonly source: string;
  /** Credentials that are valid now; cheap to call for every request. Throws `Denied` naming the file at fault. */
  authorize(): Promise<Authorization>;
  /** Forgets cached credentials, because the server answered 401; the next `authorize` reads them anew. */
  forget(): void;
  /** Closes idle sockets. */
  close(): void;
}

/** TLS identity and trust, as Node's `tls.connect` takes them. */
export interface TlsMaterial {
  readonly ca?: string | Buffer | undefined;
  readonly cert?: string | Buffer | undefined;
  readonly key?: string | Buffer | undefined;
  readonly pfx?: string | Buffer | undefined;
  readonly passphrase?: string | undefined;
  readonly servername?: string | undefined;
  readonly rejectUnauthorized?: boolean | undefined;
}

/** Idle sockets go before the API server's 90 s limit would close one just as it is used again. */
const IDLE_MS = 60_000;
/** A peer that vanished without a word is noticed by TCP probes after this long without traffic (plus ten probes). */
const PROBE_AFTER_MS = 30_000;

const pool = {
  keepAlive: true,
  keepAliveMsecs: PROBE_AFTER_MS,
  timeout: IDLE_MS,
  scheduling: 'lifo',
} as const;

/** A keep-alive agent for the scheme; the TLS material is parsed once, here, and not for every connection. */
export function agentFor(protocol: string, tls: TlsMaterial): Agent {
  if (protocol === 'http:') return new http.Agent(pool);
  const { servername, rejectUnauthorized, ...material } = tls;
  return new HttpsAgent({
    ...pool,
    secureContext: createSecureContext(material),
    ...(servername === undefined ? {} : { servername }),
    ...(rejectUnauthorized === undefined ? {} : { rejectUnauthorized }),
  });
}

/** What `connectPlain` takes besides the address. */
export interface PlainOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly tls?: TlsMaterial;
  readonly namespace?: string;
  readonly source?: string;
}

/** A connection with fixed credentials: for the embedded sandbox and for tests. Needs no kubeconfig code. */
export function connectPlain(server: string, options: PlainOptions = {}): Connection {
  const url = new URL(server);
  const agent = agentFor(url.protocol, options.tls ?? {});
  const authorization = { headers: options.headers ?? {}, agent };
  return {
    server: url,
    namespace: options.namespace ?? 'default',
    source: options.source ?? server,
    authorize: () => Promise.resolve(authorization),
    forget: () => {},
    close: () => agent.destroy(),
  };
}
