import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';

import fc from 'fast-check';

import { WeftError } from '../../mesh/errors.ts';
import type { CniInstaller } from './cni-installer.ts';
import { isChained, networkFileNames, parseNetwork, unchain } from './network-file.ts';
import type { ExchangeFiles } from './shared-folder.ts';
import { entry, exchangeFiles, testInstaller } from './test-installer.ts';

function installerAt(
  folder: string,
  exchange: ExchangeFiles,
): { readonly installer: CniInstaller; readonly confDir: string } {
  const confDir = join(folder, 'net.d');
  mkdirSync(confDir);
  return { installer: testInstaller({ binDir: join(folder, 'bin'), confDir, exchange }), confDir };
}

function content(name: string, version: number): unknown {
  const bridge = { type: 'bridge', version };
  return name.endsWith('.conflist')
    ? { cniVersion: '1.0.0', name: 'pods', plugins: [bridge, { type: 'portmap' }] }
    : { cniVersion: '0.4.0', name: 'pods', ...bridge };
}

/** What others would find of theirs: the file itself, or what took its place. */
function theirs(confDir: string, name: string): unknown {
  for (const candidate of [name, name.replace(/\.conf$/, '.conflist')]) {
    if (!existsSync(join(confDir, candidate))) continue;
    const text = readFileSync(join(confDir, candidate), 'utf8');
    const network = parseNetwork(candidate, text);
    assert.ok(!(network instanceof WeftError), text);
    return JSON.parse(unchain(network, entry.type)?.text ?? text);
  }
  return undefined;
}

const names = ['10-a.conflist', '20-b.conf', '30-c.conflist'] as const;
const deed = fc.record({
  name: fc.constantFrom(...names),
  how: fc.constantFrom('rename', 'in place', 'delete'),
});

test('whatever others write, at whatever moment, stays; and we are chained into what is first at the end', () => {
  fc.assert(
    fc.property(fc.array(fc.array(deed, { maxLength: 3 }), { maxLength: 12 }), (moments) => {
      const folder = mkdtempSync(join(tmpdir(), 'weft-rivals-'));
      try {
        const expected = new Map<string, unknown>();
        let version = 0;
        const waiting = [...moments];
        const meanwhile = (): void => {
          for (const { name, how } of waiting.shift() ?? []) {
            const path = join(confDir, name);
            version += 1;
            if (how === 'delete') {
              // One that deletes its .conf while it is wrapped deletes nothing.
              if (name.endsWith('.conf')) continue;
              rmSync(path, { force: true });
              expected.delete(name);
              continue;
            }
            const written = content(name, version);
            if (how === 'in place') writeFileSync(path, JSON.stringify(written));
            else {
              writeFileSync(`${path}.theirs`, JSON.stringify(written));
              renameSync(`${path}.theirs`, path);
            }
            expected.set(name, written);
          }
        };
        const { installer, confDir } = installerAt(folder, (one, other) => {
          meanwhile();
          exchangeFiles(one, other);
          meanwhile();
        });
        while (waiting.length > 0) {
          meanwhile();
          installer.check();
        }
        installer.check();
        installer.check();

        for (const name of names) assert.deepEqual(theirs(confDir, name), expected.get(name), name);
        const first = networkFileNames(readdirSync(confDir))[0];
        if (first === undefined) assert.equal(installer.problem?.code, 'WEFT-E130');
        else {
          const network = parseNetwork(first, readFileSync(join(confDir, first), 'utf8'));
          assert.ok(!(network instanceof WeftError) && isChained(network, entry), first);
          assert.equal(installer.problem, undefined);
        }
        installer.uninstall();
        const left = readdirSync(confDir).map((name): [string, unknown] => [
          name,
          JSON.parse(readFileSync(join(confDir, name), 'utf8')),
        ]);
        assert.deepEqual(new Map(left), expected);
      } finally {
        rmSync(folder, { recursive: true });
      }
    }),
    { numRuns: 60 },
  );
});

/** Rewrites a file as fast as it can, and says at the end which version was its last. */
const rival = `
  const { writeFileSync, renameSync } = require('node:fs');
  const [path, how, end] = process.argv.slice(1);
  let version = 0;
  const deadline = Date.now() + Number(end);
  while (Date.now() < deadline || version < 200) {
    version += 1;
    const text = JSON.stringify({ cniVersion: '1.0.0', name: 'pods', plugins: [{ type: 'bridge', version }, { type: 'x', pad: 'y'.repeat(version % 5000) }] });
    if (how === 'in-place') writeFileSync(path, text);
    else { writeFileSync(path + '.' + process.pid, text); renameSync(path + '.' + process.pid, path); }
    if (version % 50 === 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3);
  }
  console.log(version);`;

for (const how of ['rename', 'in-place']) {
  test(`another process that rewrites the file all the time (${how}) loses nothing, and nobody reads half a file of ours`, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'weft-rivals-'));
    try {
      const { installer, confDir } = installerAt(folder, exchangeFiles);
      const path = join(confDir, '10-pods.conflist');
      const child = spawn(process.execPath, ['-e', rival, path, how, '1500'], { stdio: ['ignore', 'pipe', 'inherit'] });
      let said = '';
      child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
      const end = once(child, 'close');
      let wasChained = 0;
      while (child.exitCode === null) {
        installer.check();
        await turn();
        // Whoever writes in place shows halves of its own.
        if (how === 'rename' && existsSync(path)) {
          const text = readFileSync(path, 'utf8');
          assert.doesNotThrow(() => JSON.parse(text), text);
          if (text.includes(entry.type)) wasChained += 1;
        }
      }
      await end;
      installer.check();
      assert.equal(installer.problem, undefined);
      const { plugins } = JSON.parse(readFileSync(path, 'utf8')) as { plugins: { type: string; version?: number }[] };
      assert.equal(plugins[0]?.version, Number(said), 'the last that it wrote');
      assert.deepEqual(
        plugins.map(({ type }) => type),
        ['bridge', 'x', 'weft-cni'],
      );
      if (how === 'rename') assert.ok(wasChained > 0);
      assert.deepEqual(readdirSync(confDir), ['10-pods.conflist']);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
}
