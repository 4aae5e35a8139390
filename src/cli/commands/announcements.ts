import { readEndpoint } from '../../controller/ask-leader.ts';
import type { KubeClient } from '../../kube/index.ts';
import { asBerthError } from '../../model/errors.ts';
import type { ServiceKey } from '../../model/service.ts';
import type { Announcement } from '../../provider/announcements.ts';
import { loadAnnouncements, ProviderLoadError, type LoadRequest } from '../../provider/registry.ts';
import { withProgress } from '../progress.ts';
import { withConnection, type Invocation } from '../invocation.ts';
import { processApi } from './process-api.ts';

/** How long finding out may take, in milliseconds. */
const LIMIT_MS = 15_000;
/** How long one process may take to answer, in milliseconds. */
const ASK_MS = 2_000;

/** What was found out about one provider's Services, or why nothing was. */
export type FoundAnnouncements =
  | {
      readonly provider: string;
      readonly told: string;
      readonly announcements: readonly Announcement[];
    }
  | { readonly provider: string; readonly problem: string };

/** Services, and the provider that serves them. */
export interface Question {
  readonly provider: string;
  readonly services: readonly ServiceKey[];
}

/**
 * Who answers for the addresses of Services; nothing for providers whose addresses are no business of their own
 * processes. Failing to find out is an answer, too: what else is known is shown in any case.
 */
export async function findAnnouncements(
  invocation: Invocation,
  questions: readonly Question[],
): Promise<readonly FoundAnnouncements[]> {
  const asked = questions.filter(({ services }) => services.length > 0);
  const found = await Promise.all(asked.map((question) => findOne(invocation, question)));
  return found.filter((one) => one !== undefined);
}

async function findOne(
  invocation: Invocation,
  { provider, services }: Question,
): Promise<FoundAnnouncements | undefined> {
  const { terminal, signal } = invocation;
  try {
    const announcer = await announcerOf(invocation, provider);
    if (announcer === undefined) return undefined;
    const work = (): Promise<FoundAnnouncements> =>
      withConnection(invocation, async (_, client) =>
        withHost(invocation, client, async (host) => ({
          provider,
          ...(await announcer.announcements(announcer.config, { ...host, services })),
        })),
      );
    return await withProgress(terminal, 'asking who announces the addresses', work);
  } catch (error) {
    signal.throwIfAborted();
    return { provider, problem: asBerthError(error).message };
  }
}

async function announcerOf(
  { settings, directory }: Invocation,
  provider: string,
): ReturnType<typeof loadAnnouncements> {
  const configured = settings.providers.find(({ section, spec }) => provider === (section ?? spec));
  const request: Omit<LoadRequest, 'host'> = { ...(configured ?? { spec: provider }), from: directory };
  try {
    return await loadAnnouncements(request);
  } catch (error) {
    // The leader has a provider that is not installed here.
    if (configured === undefined && error instanceof ProviderLoadError) return undefined;
    throw error;
  }
}

type Host = Omit<
  Parameters<NonNullable<Awaited<ReturnType<typeof loadAnnouncements>>>['announcements']>[1],
  'services'
>;

async function withHost<T>(
  { log, signal }: Invocation,
  client: KubeClient,
  work: (host: Host) => Promise<T>,
): Promise<T> {
  const done = new AbortController();
  const limit = AbortSignal.timeout(LIMIT_MS);
  const ends = AbortSignal.any([signal, done.signal, limit]);
  const failed = Promise.withResolvers<never>();
  ends.addEventListener('abort', () => failed.reject(ends.reason), { once: true });
  // What may not be read at a terminal is not going to be allowed in a moment.
  const onTrouble = (error: unknown): void => failed.reject(error);
  const api = processApi({ client, log, signal: ends, instance: 'terminal', onTrouble });
  const ask: Host['ask'] = async (endpoint, question) =>
    JSON.parse(
      await readEndpoint({ client, signal: ends, timeoutMs: ASK_MS }, { endpoint, path: `/api/${question}` }),
    ) as unknown;
  try {
    return await Promise.race([work({ api, ask, log, signal: ends }), failed.promise]);
  } finally {
    done.abort(new Error('the command is done'));
    await api.close(0);
  }
}
