/**
 * Runs files of tests one after another, each for as long as it may take, and tells what each took. Arguments: the files. Of one that fails,
 * what Weft's processes said of trouble is told, too. No file leaves a cluster behind: what one could not take down itself is taken down here.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { clusterFolder } from './layout.ts';
import { leftovers, teardown } from './teardown.ts';
import { keepWeftLogs, troublesIn } from './weft-logs.ts';

const fileDeadlineMs = 15 * 60_000;
/** For what it takes down by itself. */
const marginMs = 60_000;
/** Of all: what has not begun by then has failed. */
const deadlineMs = 50 * 60_000;

interface Outcome {
  readonly file: string;
  readonly seconds: number;
  readonly failure?: string;
}

const startedAt = performance.now();
const end = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => end.abort());
const outcomes: Outcome[] = [];
for (const file of process.argv.slice(2)) {
  const isLate = performance.now() - startedAt > deadlineMs;
  const why = end.signal.aborted ? 'the run was ended before it' : isLate ? 'it was too late to begin' : undefined;
  outcomes.push(why === undefined ? await run(file) : { file, seconds: 0, failure: why });
}

say('');
for (const { file, seconds, failure } of outcomes)
  say(
    `${failure === undefined ? '✔' : '✖'} ${String(seconds).padStart(4)} s  ${file}${failure === undefined ? '' : `: ${failure}`}`,
  );
say(`  ${String(seconds(startedAt)).padStart(4)} s  in all`);
process.exitCode = outcomes.some(({ failure }) => failure !== undefined) ? 1 : 0;

async function run(file: string): Promise<Outcome> {
  say(`\n${file}`);
  const begun = performance.now();
  const before = new Set(clusters());
  const logs = mkdtempSync(join(tmpdir(), 'weft-e2e-'));
  try {
    let failure = await runFile(file, logs);
    for (const cluster of clusters().filter((name) => !before.has(name))) {
      process.env['WEFT_E2E_LOGS'] = logs;
      keepWeftLogs(cluster);
      await teardown(cluster);
      failure ??= `it left the cluster ${cluster} behind`;
      const left = leftovers(cluster);
      if (left.length > 0) failure += `, of which there still is ${left.slice(0, 10).join(', ')}`;
    }
    if (failure !== undefined) for (const line of troublesIn(logs)) say(line);
    return { file, seconds: seconds(begun), ...(failure !== undefined && { failure }) };
  } finally {
    rmSync(logs, { recursive: true });
  }
}

/** @returns why it has failed */
async function runFile(file: string, logs: string): Promise<string | undefined> {
  // In one process, so that its end is that of the tests.
  const command = ['--test', '--test-isolation=none', '--test-reporter=spec', `--test-timeout=${fileDeadlineMs}`, file];
  const child = spawn(process.execPath, command, { stdio: 'inherit', env: { ...process.env, WEFT_E2E_LOGS: logs } });
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  const kill = (why: string) => () => {
    child.kill('SIGKILL');
    resolve(why);
  };
  const timer = setTimeout(kill(`it took longer than ${fileDeadlineMs / 60_000} minutes`), fileDeadlineMs + marginMs);
  const onEnd = kill('the run was ended');
  end.signal.addEventListener('abort', onEnd, { once: true });
  child.once('error', (error) => resolve(error.message));
  child.once('exit', (code) => resolve(code === 0 ? undefined : 'it failed'));
  const failure = await promise;
  clearTimeout(timer);
  end.signal.removeEventListener('abort', onEnd);
  return failure;
}

/** Of any name, whoever made them. */
function clusters(): string[] {
  const folder = dirname(clusterFolder('weft'));
  return existsSync(folder) ? readdirSync(folder) : [];
}

function seconds(since: number): number {
  return Math.round((performance.now() - since) / 1000);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
