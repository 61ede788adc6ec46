import { spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

import { runAttached } from './command.ts';
import { LabFileError, readLabFile } from './file.ts';
import { isLabName } from './lab.ts';
import { labFolder } from './layout.ts';
import { inNamespaceAndCgroup } from './pod.ts';
import type { PodState } from './state.ts';
import { readState } from './state.ts';
import { leftovers, takeDown } from './teardown.ts';

const usage = `Usage: lab up FILE [--name NAME]
       lab exec [NAMESPACE/]POD [--name NAME] -- COMMAND…
       lab down [--name NAME]

A cluster out of network namespaces. docs/lab.md describes FILE.
  --name NAME   labs of different names can be up at once (default lab)
`;
const upDeadlineMs = 120_000;

/** What the user is told, and the exit code. */
class Refusal extends Error {
  readonly code: number;

  constructor(message: string, code = 1) {
    super(message);
    this.code = code;
  }
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof Refusal) && !(error instanceof LabFileError)) throw error;
  process.stderr.write(`lab: ${error.message}\n`);
  process.exitCode = error instanceof Refusal ? error.code : 2;
}

async function main(args: readonly string[]): Promise<number> {
  const end = args.includes('--') ? args.indexOf('--') : args.length;
  const { values, positionals } = readArguments(args.slice(0, end));
  const command = args.slice(end + 1);
  const [verb, operand, ...more] = positionals;
  const { name } = values;
  if (!isLabName(name)) throw new Refusal(`--name: "${name}" is not 1 to 10 small letters and digits`, 2);
  if (values.help) process.stdout.write(usage);
  else if (verb === 'up' && operand !== undefined && more.length === 0) await up(name, resolve(operand));
  else if (verb === 'exec' && operand !== undefined && more.length === 0 && command.length > 0)
    return exec(findPod(name, operand), command);
  else if (verb === 'down' && operand === undefined) await down(name);
  else throw new Refusal(`there is no such command\n${usage}`, 2);
  return 0;
}

function readArguments(args: readonly string[]) {
  const options = { name: { type: 'string', default: 'lab' }, help: { type: 'boolean', default: false } } as const;
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (error) {
    throw new Refusal(error instanceof Error ? error.message : String(error), 2);
  }
}

async function up(name: string, file: string): Promise<void> {
  readLabFile(file, read(file));
  if (leftovers(name).length > 0) throw new Refusal(`a lab "${name}" is there: lab down --name ${name} removes it`);
  try {
    await hold(name, file);
  } catch (error) {
    await takeDown(name);
    throw error;
  }
  for (const pod of readState(name)?.pods ?? [])
    process.stdout.write(`${pod.node}  ${pod.namespace}/${pod.name}  ${pod.addresses.join('  ')}\n`);
  process.stdout.write(`log: ${logOf(name)}\n`);
}

/** Resolves when everything runs. */
async function hold(name: string, file: string): Promise<void> {
  mkdirSync(labFolder(name), { recursive: true });
  const log = openSync(logOf(name), 'a');
  const holder = spawn(process.execPath, [new URL('holder.ts', import.meta.url).pathname, name, file], {
    stdio: ['ignore', log, log, 'ipc'],
    detached: true,
  });
  closeSync(log);
  const { promise, resolve: isUp, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(() => {
    reject(new Refusal(`the lab is not up after ${upDeadlineMs} ms: ${tail(name)}`));
  }, upDeadlineMs);
  holder.once('message', (message: { problem?: string }) => {
    if (message.problem === undefined) isUp();
    else reject(new Refusal(`the lab cannot be set up: ${message.problem}`));
  });
  holder.once('exit', () => {
    reject(new Refusal(`the lab ended while it was set up: ${tail(name)}`));
  });
  await promise.finally(() => {
    clearTimeout(timer);
    if (holder.connected) holder.disconnect();
    holder.unref();
  });
}

function findPod(lab: string, wanted: string): PodState {
  const state = readState(lab);
  if (state === undefined) throw new Refusal(`no lab "${lab}" is up`);
  const found = state.pods.filter((pod) => pod.name === wanted || `${pod.namespace}/${pod.name}` === wanted);
  const [pod] = found;
  if (pod === undefined) throw new Refusal(`the lab has no pod ${wanted}`);
  if (found.length > 1) throw new Refusal(`more than one pod is called ${wanted}: say NAMESPACE/POD`);
  return pod;
}

/** As the command's: its output, its input, its exit code. */
function exec(pod: PodState, command: readonly string[]): Promise<number> {
  return runAttached(inNamespaceAndCgroup(pod.netns, pod.cgroup, command));
}

async function down(name: string): Promise<void> {
  await takeDown(name);
  const left = leftovers(name);
  if (left.length > 0) throw new Refusal(`could not be taken down: ${left.join(', ')}`);
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new Refusal(error instanceof Error ? error.message : String(error), 2);
  }
}

function logOf(name: string): string {
  return join(labFolder(name), 'lab.log');
}

function tail(name: string): string {
  return existsSync(logOf(name)) ? readFileSync(logOf(name), 'utf8').slice(-2000) : 'no log';
}
