import { isApiError, readFromPod, type KubeClient, type LeaseRecord } from '../kube/index.ts';
import { ANNOTATION_ENDPOINT, LEASE_NAME } from '../model/names.ts';
import { holderName, readControllerLease } from './lease-reading.ts';

/** What the acting process can be asked (see `http.ts`). */
export type Question = 'plan' | 'status' | 'explain' | 'sweep';

/** Whom to ask, and what. */
export interface LeaderQuery {
  readonly client: KubeClient;
  /** Where the Lease is. */
  readonly namespace: string;
  readonly question: Question;
  readonly parameters?: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  /** Milliseconds that the leader may take to answer; 5,000 unless given. */
  readonly timeoutMs?: number;
}

/** What came of it: the leader's answer, or why there is none. */
export type LeaderAnswer =
  | { readonly asked: true; readonly leader: string; readonly value: unknown }
  | { readonly asked: false; readonly why: string };

const TIMEOUT_MS = 5_000;

/**
 * Asks the process that holds the Lease, where it says that it can be reached: by loopback (`http://127.0.0.1:PORT`),
 * or as a pod through the API server (`pod/NAMESPACE/NAME:PORT`). Not reaching it is an answer, too: the caller then
 * looks by itself.
 *
 * @throws ApiError when the API server itself does not answer; the signal's reason when that aborts.
 */
export async function askLeader(query: LeaderQuery): Promise<LeaderAnswer> {
  const { namespace, signal } = query;
  const lease = await readLease(query);
  const name = `the Lease ${namespace}/${LEASE_NAME}`;
  if (lease === 'forbidden') return { asked: false, why: `${name} may not be read` };
  if (lease === undefined) return { asked: false, why: `there is no Lease ${namespace}/${LEASE_NAME}` };
  if (lease.holder === '') return { asked: false, why: `nobody holds ${name}` };
  const leader = holderName(lease.holder);
  const endpoint = lease.annotations[ANNOTATION_ENDPOINT];
  if (endpoint === undefined)
    return { asked: false, why: `the leader ${leader} does not say where it is reached` };
  try {
    const value: unknown = JSON.parse(await answerOf(endpoint, query));
    if (typeof value !== 'object' || value === null) throw new Error('its answer is not one of Berth');
    return { asked: true, leader, value };
  } catch (error) {
    signal.throwIfAborted();
    return { asked: false, why: `the leader ${leader} does not answer at ${endpoint}: ${reasonOf(error)}` };
  }
}

async function readLease(query: LeaderQuery): Promise<LeaseRecord | 'forbidden' | undefined> {
  try {
    return await readControllerLease(query);
  } catch (error) {
    if (isApiError(error, 'ApiForbidden')) return 'forbidden';
    throw error;
  }
}

/** `fetch` hides what happened in the cause of its error. */
function reasonOf(error: unknown): string {
  const { cause, message } = error instanceof Error ? error : { cause: undefined, message: String(error) };
  return cause instanceof Error && cause.message !== '' ? cause.message : message;
}

function answerOf(endpoint: string, query: LeaderQuery): Promise<string> {
  const { question, parameters = {} } = query;
  return readEndpoint(query, {
    endpoint,
    path: `/api/${question}?${new URLSearchParams(parameters).toString()}`,
  });
}

/**
 * GETs something from a process that says where it is reached: by a URL, or as a pod through the API server
 * (`pod/NAMESPACE/NAME:PORT`). Returns the body.
 *
 * @throws ApiError, Error of `fetch` or for a failing status; the reason of the signal or of the time limit.
 */
export async function readEndpoint(
  { client, ...query }: Pick<LeaderQuery, 'client' | 'signal' | 'timeoutMs'>,
  { endpoint, path }: { readonly endpoint: string; readonly path: string },
): Promise<string> {
  const signal = AbortSignal.any([query.signal, AbortSignal.timeout(query.timeoutMs ?? TIMEOUT_MS)]);
  const inPod = /^pod\/([^/]+)\/([^/:]+):(\d{1,5})$/.exec(endpoint);
  if (inPod !== null) {
    const [, namespace = '', pod = '', port] = inPod;
    return await readFromPod(client, { namespace, pod, port: Number(port), path }, signal);
  }
  if (!endpoint.startsWith('http://')) throw new Error('that is no form of address that this version knows');
  const response = await fetch(new URL(path, endpoint), { signal, redirect: 'error' });
  const text = await response.text();
  if (!response.ok) throw new Error(`${response.status} ${text.trim().slice(0, 200)}`);
  return text;
}
