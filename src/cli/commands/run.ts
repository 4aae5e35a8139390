import { mustBeAlone } from '../../controller/as-leader.ts';
import { runController } from '../../controller/run.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { withConnection, type Invocation } from '../invocation.ts';
import { runOptions } from '../session.ts';

/**
 * `berth run`: serves Services until SIGTERM or SIGINT, or until the Lease is lost.
 *
 * @throws Denied `LeaderIsRunning` when it is to act without an election while another controller leads; what
 * `runController` throws.
 */
export function runCommand(invocation: Invocation): Promise<ExitCode> {
  const { settings, signal, terminal, json, log, version } = invocation;
  const { election, elect, listen, pod } = settings;
  const say = (event: object): void => {
    if (json) terminal.out.write(`${JSON.stringify(event)}\n`);
  };
  return withConnection(invocation, async (connection, client) => {
    const providers = settings.providers.map(({ spec }) => spec);
    log.info({ version, server: connection.server.href, from: connection.source, providers }, 'starting');
    say({ event: 'starting', version, server: connection.server.href, providers });
    if (!elect) await mustBeAlone({ client, election, signal });
    const end = await runController({
      ...runOptions(invocation, connection, signal),
      election: elect ? election : undefined,
      namespace: election.namespace,
      listen,
      pod,
      onActing: () => say({ event: 'acting' }),
    });
    say({ event: 'ended', end });
    if (end === 'stopped') return EXIT.ok;
    log.error({ namespace: election.namespace }, 'the Lease is lost: another process leads, this one ends');
    return EXIT.leadershipLost;
  });
}
