import { parseArgs } from 'node:util';

import { runAttached } from '../lab/command.ts';
import { Cluster } from './cluster.ts';
import { isClusterName } from './layout.ts';
import { leftovers, teardown } from './teardown.ts';

const usage = `Usage: cluster up [--name NAME] [--nodes NUMBER]
       cluster exec [--name NAME] [--node NODE] -- COMMAND…
       cluster down [--name NAME]

A real Kubernetes on this machine. exec runs a command where kubectl and helm reach it, or inside a node.
  --name NAME     clusters of different names can be up at once (default weft)
  --nodes NUMBER  1 to 9 (default 2)
`;

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
  process.stderr.write(`cluster: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = error instanceof Refusal ? error.code : 1;
}

async function main(args: readonly string[]): Promise<number> {
  const end = args.includes('--') ? args.indexOf('--') : args.length;
  const { values, positionals } = readArguments(args.slice(0, end));
  const command = args.slice(end + 1);
  const [verb, ...more] = positionals;
  const nodes = Number(values.nodes);
  if (values.help) process.stdout.write(usage);
  else if (!isClusterName(values.name)) throw new Refusal('--name: 1 to 10 small letters and digits', 2);
  else if (!/^[1-9]$/.test(values.nodes)) throw new Refusal('--nodes: a number from 1 to 9', 2);
  else if (verb === 'up' && more.length === 0) await up(values.name, nodes);
  else if (verb === 'exec' && more.length === 0 && command.length > 0) return exec(values.name, values.node, command);
  else if (verb === 'down' && more.length === 0) await down(values.name);
  else throw new Refusal(`there is no such command\n${usage}`, 2);
  return 0;
}

function readArguments(args: readonly string[]) {
  const options = {
    name: { type: 'string', default: 'weft' },
    nodes: { type: 'string', default: '2' },
    node: { type: 'string' },
    help: { type: 'boolean', default: false },
  } as const;
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (error) {
    throw new Refusal(error instanceof Error ? error.message : String(error), 2);
  }
}

async function up(name: string, nodes: number): Promise<void> {
  if (leftovers(name).length > 0) throw new Refusal(`a cluster "${name}" is there: cluster down removes it`);
  await Cluster.up({
    name,
    nodes,
    onStep: (step, ms) => process.stdout.write(`${(ms / 1000).toFixed(1).padStart(6)} s  ${step}\n`),
  });
}

async function exec(name: string, node: string | undefined, command: readonly string[]): Promise<number> {
  const cluster = Cluster.find(name);
  if (cluster === undefined) throw new Refusal(`no cluster "${name}" is up`);
  const { command: inside, env } =
    node === undefined
      ? cluster.command(command)
      : { command: cluster.node(node).machine.command(command), env: cluster.command([]).env };
  return runAttached(inside, env);
}

async function down(name: string): Promise<void> {
  await teardown(name);
  const left = leftovers(name);
  if (left.length > 0) throw new Refusal(`could not be taken down: ${left.join(', ')}`);
}
