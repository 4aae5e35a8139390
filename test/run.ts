/**
 * Runs the tests of the repository and ends with the line `N passed, N failed` (`, N skipped` when there are any).
 *
 *   test/run.ts            everything: checks, unit tests, tests on real parts
 *   test/run.ts --fast     the inner loop: checks and unit tests, nothing downloaded or built
 *   test/run.ts --checks   types, lint and format only
 *   test/run.ts [--fast] ARG ...   further arguments go to vitest (a file, -t NAME); checks are left out
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureControlPlane } from '../infra/controlplane/build.ts';
import { ensureLocalStack } from '../infra/localstack/install.ts';
import { ensurePackages, hasProgram } from '../infra/packages.ts';
import { buildFastPath } from './harness/fast-path.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const results = join(root, 'test-results');

/** What came of a part of the run. */
interface Tally {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** The parts of vitest's JSON report that are read here. */
interface VitestReport {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  readonly numFailedTestSuites: number;
}

const { fast, checksOnly, rest } = parseArguments(process.argv.slice(2));
const parts: Tally[] = [];
if (rest.length === 0) parts.push(...runChecks());
if (!checksOnly) {
  if (!fast) await prepare();
  const callsDir = join(results, 'calls');
  rmSync(callsDir, { recursive: true, force: true });
  process.env['BERTH_CALLS_DIR'] = callsDir;
  const projects = fast ? ['fast'] : ['fast', 'real'];
  parts.push(runVitest(projects, rest));
  if (!fast && rest.length === 0) parts.push(runVitest(['after'], []));
}
const total = parts.reduce(add, { passed: 0, failed: 0, skipped: 0 });
console.log(closingLine(total));
process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0;

function parseArguments(args: readonly string[]): {
  fast: boolean;
  checksOnly: boolean;
  rest: readonly string[];
} {
  const own = new Set(['--fast', '--checks']);
  return {
    fast: args.includes('--fast'),
    checksOnly: args.includes('--checks'),
    rest: args.filter((arg) => !own.has(arg)),
  };
}

/** Types, lint and format: each counts as one test. */
function runChecks(): readonly Tally[] {
  const bin = (name: string): string => join(root, 'node_modules', '.bin', name);
  return [
    check('types', [bin('tsc'), '--noEmit', '-p', '.']),
    check('lint', [bin('oxlint'), '--deny-warnings']),
    check('format', [bin('oxfmt'), '--check']),
  ];
}

function check(name: string, [command = '', ...args]: readonly string[]): Tally {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd: root, encoding: 'utf8' });
  const passed = status === 0;
  console.log(`${passed ? 'ok  ' : 'FAIL'} ${name}`);
  if (!passed) console.log(`${stdout}${stderr}`.trimEnd());
  return { passed: passed ? 1 : 0, failed: passed ? 0 : 1, skipped: 0 };
}

/** Fetches and builds what the tests on real parts need. What cannot be had makes its tests skipped, with a remedy. */
async function prepare(): Promise<void> {
  const log = (line: string): void => console.log(`set-up: ${line}`);
  ensurePackages(log);
  const noFastPath = buildFastPath();
  if (noFastPath !== undefined) log(`no fast path of ARP: ${noFastPath}`);
  const controlPlane = await ensureControlPlane({ log });
  if (!controlPlane.available) log(`no control plane: ${controlPlane.reason}. ${controlPlane.remedy}`);
  const cloud = await ensureLocalStack({ log });
  if (!cloud.available) log(`no LocalStack: ${cloud.reason}. ${cloud.remedy}`);
  if (hasProgram('kubectl')) return;
  const kubectl = await ensureControlPlane({ log, components: ['kubectl'] });
  if (kubectl.available) process.env['PATH'] += `${delimiter}${kubectl.dir}`;
}

function runVitest(projects: readonly string[], rest: readonly string[]): Tally {
  mkdirSync(results, { recursive: true });
  const report = join(results, `vitest-${projects.join('-')}.json`);
  rmSync(report, { force: true });
  const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
  const chosen = projects.flatMap((project) => ['--project', project]);
  // Many of the fast tests wait for clocks and sockets; the real ones would get in each other's way.
  const workers = fast ? ['--maxWorkers=3'] : [];
  const { status } = spawnSync(
    process.execPath,
    [vitest, 'run', ...chosen, ...workers, ...reporters, ...rest],
    {
      cwd: root,
      stdio: ['ignore', 'inherit', 'inherit'],
    },
  );
  try {
    return tallyOf(JSON.parse(readFileSync(report, 'utf8')) as VitestReport, status);
  } catch {
    console.log('FAIL vitest ended without a report');
    return { passed: 0, failed: 1, skipped: 0 };
  }
}

function tallyOf(report: VitestReport, status: number | null): Tally {
  const tests = { passed: report.numPassedTests, failed: report.numFailedTests };
  const skipped = report.numPendingTests + report.numTodoTests;
  // A file that fails to load, or an error outside a test, fails the run though no test did.
  const failed = tests.failed === 0 && status !== 0 ? 1 : tests.failed;
  return { passed: tests.passed, failed, skipped };
}

function add(a: Tally, b: Tally): Tally {
  return { passed: a.passed + b.passed, failed: a.failed + b.failed, skipped: a.skipped + b.skipped };
}

function closingLine({ passed, failed, skipped }: Tally): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
}
