import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { test } from 'node:test';

import fc from 'fast-check';
import { format } from 'prettier';

import { TestCluster, addInstallation, addNodes } from './cluster/test-cluster.ts';
import { defineCommand } from './command.ts';
import { commands } from './commands/all.ts';
import { completionScript } from './completion.ts';
import { reference } from './reference.ts';
import { styleOf } from './style.ts';
import { testSurroundings } from './test-surroundings.ts';
import { weft } from './weft.ts';

async function run(...args: readonly string[]) {
  const surroundings = testSurroundings({});
  const status = await weft(commands, args, surroundings);
  return { status, ...surroundings.written() };
}

test('help tells of every command and every flag', async () => {
  for (const args of [[], ['help'], ['--help'], ['-h']]) {
    const { status, out } = await run(...args);
    assert.equal(status, 0);
    for (const { name, summary } of commands) assert.match(out, new RegExp(`^ {2}${name} +${summary}$`, 'm'));
  }
  for (const { name, flags } of commands) {
    const words = name.split(' ');
    const { status, out } = await run(...words, '--help');
    assert.equal(status, 0);
    for (const [flag, { help }] of Object.entries(flags))
      assert.ok(out.includes(`--${flag}`) && out.includes(help), flag);
    assert.equal((await run('help', ...words)).out, out);
    assert.equal((await run(...words, '-h', 'anything')).out, out);
  }
});

test('what is not understood is named in one line', async () => {
  const cases: [readonly string[], RegExp][] = [
    [['chekc'], /^weft: WEFT-E401 "chekc" is no command\. `weft help`/],
    [['help', 'chekc'], /"chekc" is no command/],
    [['diagnostics'], /"diagnostics" is no command/],
    [['check', '--prе'], /^weft: WEFT-E401 check: Unknown option '--prе'\. /],
    [['check', '-o', 'xml'], /check: --output: "xml" is none of table, json, short/],
    [['check', '-o'], /check: Option '-o, --output <value>' argument missing/],
    [['check', 'all'], /check: "all" is one argument too many/],
    [['completion'], /completion: it needs bash\|zsh\|fish/],
    [['completion', 'tcsh'], /completion: "tcsh" is none of bash, zsh, fish/],
  ];
  for (const [args, expected] of cases) {
    const { status, out, err } = await run(...args);
    assert.deepEqual([status, out], [1, ''], args.join(' '));
    assert.match(err, expected);
    assert.equal(err.split('\n').length, 2);
  }
});

test('flags come as their table says', async () => {
  const calls: unknown[] = [];
  const command = defineCommand({
    name: 'try',
    summary: 's',
    positionals: { usage: '[A]', minimum: 0, maximum: 1 },
    flags: {
      one: { short: 'o', value: 'X', help: 'h' },
      many: { value: 'X', isMultiple: true, help: 'h' },
      usual: { value: 'X', fallback: 'u', help: 'h' },
      on: { help: 'h' },
    },
    run: ({ flags, positionals }) => {
      calls.push({ ...flags, positionals: [...positionals] });
      return Promise.resolve(7);
    },
  });
  const call = async (...args: readonly string[]) => {
    assert.equal(await weft([command], ['try', ...args], testSurroundings({})), 7);
    return calls.at(-1);
  };
  assert.deepEqual(await call(), { one: undefined, many: [], usual: 'u', on: false, positionals: [] });
  assert.deepEqual(await call('-o', '1', '--many=a', '--many', 'b', '--usual', 'v', '--on', 'x'), {
    one: '1',
    many: ['a', 'b'],
    usual: 'v',
    on: true,
    positionals: ['x'],
  });
});

test('whatever is typed, there is an answer and no defect', async () => {
  const words = [
    ...commands.flatMap(({ name }) => name.split(' ')),
    '--help',
    '--',
    '-',
    '-o',
    '--client',
    '',
    '🙂',
    '--pre=1',
  ];
  await fc.assert(
    fc.asyncProperty(fc.array(fc.oneof(fc.constantFrom(...words), fc.string()), { maxLength: 4 }), async (args) => {
      const surroundings = testSurroundings({ environment: { HOME: '/nobody', WEFT_CHARTS: '/none' } });
      const status = await weft(commands, args, surroundings);
      const { out, err } = surroundings.written();
      assert.ok(status === 0 ? out !== '' : /WEFT-E4\d\d/.test(out + err), `${status}: ${out}${err}`);
    }),
    { numRuns: 200 },
  );
});

test('docs/cli.md says what the help says', async () => {
  const made = await format(reference(commands), { parser: 'markdown', printWidth: 120 });
  assert.equal(
    readFileSync(new URL('../docs/cli.md', import.meta.url), 'utf8'),
    made,
    'node cli/reference-main.ts > docs/cli.md',
  );
});

test('bash completes commands, flags and values', () => {
  const script = completionScript('bash', commands);
  const complete = (...words: readonly string[]): string[] => {
    const list = words.map((word) => `'${word}'`).join(' ');
    const code = `${script}\nCOMP_WORDS=(weft ${list}); COMP_CWORD=${words.length}; _weft; printf '%s\\n' "\${COMPREPLY[@]}"`;
    return execFileSync('bash', ['-c', code], { encoding: 'utf8' }).trim().split('\n');
  };
  assert.deepEqual(complete('che'), ['check']);
  assert.deepEqual(complete('diagnostics', 'controller'), ['controller-metrics']);
  assert.deepEqual(complete('check', '--p'), ['--pre']);
  assert.deepEqual(complete('check', '--pre', '-o', ''), ['table', 'json', 'short']);
  assert.deepEqual(complete('check', '--output', 'j'), ['json']);
  assert.deepEqual(complete('diagnostics', 'agent-ready', '--context', 'x', '--weft'), ['--weft-namespace']);
  assert.deepEqual(complete('nothing', ''), ['']);
});

test('scripts of the other shells name every command and flag', () => {
  assert.match(completionScript('zsh', commands), /^#compdef weft\nautoload -Uz bashcompinit/);
  const fish = completionScript('fish', commands);
  for (const { name, flags } of commands) {
    for (const word of name.split(' ')) assert.ok(fish.includes(` -a ${word}`), word);
    for (const flag of Object.keys(flags)) assert.ok(fish.includes(` -l ${flag}`), flag);
  }
});

test('colours are for terminals that have them, and may be forbidden', () => {
  const green = (isTerminal: boolean, environment: NodeJS.ProcessEnv = {}) =>
    styleOf(testSurroundings({ isTerminal, environment })).green('x');
  assert.equal(green(true), '\u001b[32mx\u001b[0m');
  assert.equal(green(true, { NO_COLOR: '' }), '\u001b[32mx\u001b[0m');
  for (const plain of [green(false), green(true, { NO_COLOR: '1' }), green(true, { TERM: 'dumb' })])
    assert.equal(plain, 'x');
});

async function diagnose(t: TestContext, ...args: readonly string[]) {
  const cluster = await TestCluster.start(t);
  addNodes(cluster);
  const { agents } = addInstallation(cluster);
  if (agents[1]) agents[1].ready = { status: 503, text: 'no worker runs\n' };
  cluster.silence('agent-node-1', 4191);
  return run('diagnostics', ...args, '--kubeconfig', cluster.kubeconfig(t));
}

test('diagnostics tell what parts say, as they say it', async (t) => {
  const ready = await diagnose(t, 'agent-ready', 'node-2');
  assert.deepEqual(ready, { status: 0, out: '# POD weft-system/agent-node-2 NODE node-2\nno worker runs\n', err: '' });
  const metrics = await diagnose(t, 'controller-metrics');
  assert.match(metrics.out, /^# POD weft-system\/controller-1 NODE node-1\nweft_build_info\{version="[^"]+"\} 1\n/);
  const all = await diagnose(t, 'agent-metrics');
  assert.equal(all.status, 1);
  assert.match(all.out, /^# POD weft-system\/agent-node-2 NODE node-2\nweft_build_info/);
  assert.match(all.err, /^weft: WEFT-E405 weft-system\/agent-node-1 port 4191: /);
  assert.match((await diagnose(t, 'agent-ready', 'node-7')).err, /WEFT-E401 there is no agent on a node "node-7"/);
});
