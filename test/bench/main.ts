// npm run bench -- NAME [ARG ...]
import { machineFacts, machineText, table } from './report.ts';

/** A benchmark's module: prints its report, writes its JSON, sets the exit code. */
interface Bench {
  readonly run: (args: readonly string[]) => Promise<void>;
}

/** Every benchmark, with what it measures; each is `NAME.ts` beside this file. */
const BENCHES: Readonly<Record<string, string>> = {
  aws: 'the AWS provider on LocalStack beside the incumbents: 50 Services of 2 ports, 20 nodes, 50 ms a call',
  core: 'the controller on a real API server: 1,000 Services, 100 Nodes, provider memory',
  metal: 'bare metal on the wire: failover, ARP latency, 200 Services at once, at rest',
  local: 'the local proxy beside HAProxy and beside no proxy',
};

const [name, ...args] = process.argv.slice(2);
if (name === undefined || BENCHES[name] === undefined) {
  console.log('npm run bench -- NAME [ARG ...]   (NAME --help shows its arguments)\n');
  console.log(table(['NAME', 'measures'], Object.entries(BENCHES)).join('\n'));
  if (name !== undefined && name !== '--help') {
    console.error(`\nThere is no benchmark ${JSON.stringify(name)}. Name one of the above.`);
    process.exitCode = 2;
  }
} else {
  console.log(machineText(machineFacts()));
  const bench = (await import(new URL(`${name}.ts`, import.meta.url).href)) as Bench;
  await bench.run(args);
}
