import { loadCommand } from '../../provider/registry.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import type { Invocation } from '../invocation.ts';

/** A command of a provider's own, such as `berth iam-policy`: prints what follows from its configuration. */
export async function providerCommand(
  { settings, terminal, directory }: Invocation,
  name: string,
): Promise<ExitCode> {
  for (const spec of settings.providers) {
    const { command, config } = await loadCommand({ ...spec, from: directory }, name);
    terminal.out.write(await command.run(config, { id: settings.clusterId, name: settings.clusterName }));
  }
  return EXIT.ok;
}
