import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';

import type { CniInstaller } from './cni-installer.ts';
import type { ExchangeFiles } from './shared-folder.ts';
import { entry, plugin, testInstaller } from './test-installer.ts';

const list = { cniVersion: '1.0.0', name: 'pods', plugins: [{ type: 'bridge' }, { type: 'portmap' }] };
const single = { cniVersion: '0.4.0', name: 'pods', type: 'bridge' };
const limitMs = 5000;

interface Line {
  readonly code?: string;
  readonly error?: string;
  readonly file?: string;
}

class Node {
  readonly confDir: string;
  readonly binDir: string;
  readonly lines: Line[] = [];
  readonly installer: CniInstaller;

  constructor(t: TestContext, options: { readonly exchange?: ExchangeFiles; readonly binary?: string } = {}) {
    const folder = mkdtempSync(join(tmpdir(), 'weft-cni-install-'));
    t.after(() => {
      rmSync(folder, { recursive: true });
    });
    this.confDir = join(folder, 'custom', 'net.d');
    this.binDir = join(folder, 'custom', 'bin');
    const note = (line: Line): void => {
      this.lines.push(line);
    };
    this.installer = testInstaller({
      binDir: this.binDir,
      confDir: this.confDir,
      log: { debug: note, info: note, warn: note, error: note } as never,
      ...options,
    });
  }

  /** Runs the installer until the test ends. */
  run(t: TestContext): void {
    const stop = new AbortController();
    const end = this.installer.run(stop.signal);
    t.after(() => {
      stop.abort();
      return end;
    });
  }

  write(name: string, content: unknown): void {
    mkdirSync(this.confDir, { recursive: true });
    writeFileSync(join(this.confDir, name), typeof content === 'string' ? content : JSON.stringify(content));
  }

  read(name: string): { plugins?: Record<string, unknown>[] } {
    return JSON.parse(readFileSync(join(this.confDir, name), 'utf8')) as never;
  }

  types(name: string): unknown[] | undefined {
    return this.read(name).plugins?.map(({ type }) => type);
  }

  files(): string[] {
    return readdirSync(this.confDir).sort();
  }

  codes(): string[] {
    return this.lines.flatMap(({ code }) => code ?? []);
  }
}

async function until(what: string, holds: () => boolean, deadlineMs = limitMs): Promise<void> {
  const end = performance.now() + deadlineMs;
  while (!holds()) {
    assert.ok(performance.now() < end, `${what} within ${deadlineMs} ms`);
    await sleep(20);
  }
}

test('a node without a network is waited for; then plugin and entry are there', async (t) => {
  const node = new Node(t);
  node.run(t);
  await until('the wait is told', () => node.codes().includes('WEFT-E130'));
  mkdirSync(node.confDir, { recursive: true });
  await sleep(600);
  assert.equal(node.installer.problem?.code, 'WEFT-E130');
  node.write('10-pods.conflist', list);
  await until('chained', () => node.installer.problem === undefined);
  assert.deepEqual(node.types('10-pods.conflist'), ['bridge', 'portmap', 'weft-cni']);
  assert.deepEqual(node.read('10-pods.conflist').plugins?.at(-1), entry);
  assert.deepEqual(node.files(), ['10-pods.conflist'], 'no temporary file stays');
  assert.deepEqual(readdirSync(node.binDir), ['weft-cni']);
  assert.deepEqual(readFileSync(join(node.binDir, 'weft-cni')), readFileSync(plugin));
  assert.equal(statSync(join(node.binDir, 'weft-cni')).mode & 0o7777, 0o755);
  assert.deepEqual(node.codes(), ['WEFT-E130'], 'once');
});

test('the first file in order counts, others stay as they are; one that comes before it takes over', (t) => {
  const node = new Node(t);
  node.write('20-b.conflist', list);
  node.write('30-c.conf', single);
  node.installer.check();
  assert.deepEqual(node.types('20-b.conflist'), ['bridge', 'portmap', 'weft-cni']);
  assert.deepEqual(node.read('30-c.conf'), single);
  node.write('10-a.conflist', list);
  node.installer.check();
  assert.deepEqual(node.types('10-a.conflist'), ['bridge', 'portmap', 'weft-cni']);
});

test('a .conf becomes a .conflist of its rights, and its owner may write it anew', (t) => {
  const node = new Node(t);
  node.write('10-pods.conf', single);
  chmodSync(join(node.confDir, '10-pods.conf'), 0o600);
  node.installer.check();
  assert.deepEqual(node.files(), ['10-pods.conflist']);
  assert.deepEqual(node.types('10-pods.conflist'), ['bridge', 'weft-cni']);
  assert.equal(statSync(join(node.confDir, '10-pods.conflist')).mode & 0o777, 0o600);

  node.write('10-pods.conf', { ...single, mtu: 9000 });
  node.installer.check();
  assert.deepEqual(node.files(), ['10-pods.conflist']);
  assert.equal(node.read('10-pods.conflist').plugins?.[0]?.['mtu'], 9000);

  node.installer.uninstall();
  assert.deepEqual(node.files(), ['10-pods.conf']);
  assert.deepEqual(node.read('10-pods.conf'), { ...single, mtu: 9000 });
});

test("somebody else's .conflist of the same name is not taken for ours", (t) => {
  const node = new Node(t);
  node.write('10-pods.conf', single);
  node.write('10-pods.conflist', { ...list, name: 'other' });
  node.installer.check();
  assert.deepEqual(node.files(), ['10-pods.conf.conflist', '10-pods.conflist']);
  assert.deepEqual(node.types('10-pods.conf.conflist'), ['bridge', 'weft-cni']);
  assert.deepEqual(node.read('10-pods.conflist'), { ...list, name: 'other' });
  node.installer.uninstall();
  assert.deepEqual(node.files(), ['10-pods.conf', '10-pods.conflist']);
});

test('what other installers do is put right within 5 s', async (t) => {
  const node = new Node(t);
  node.write('10-pods.conflist', list);
  node.run(t);
  const isWell = (): boolean =>
    existsSync(join(node.confDir, '10-pods.conflist')) &&
    isDeepStrictEqual(node.read('10-pods.conflist').plugins, [...list.plugins, entry]) &&
    existsSync(join(node.binDir, 'weft-cni')) &&
    readFileSync(join(node.binDir, 'weft-cni')).equals(readFileSync(plugin)) &&
    node.installer.problem === undefined;
  await until('installed', isWell);
  const path = join(node.confDir, '10-pods.conflist');
  const damages: Record<string, () => void> = {
    'rewritten in place': () => {
      node.write('10-pods.conflist', list);
    },
    'replaced by rename': () => {
      writeFileSync(`${path}.new`, JSON.stringify(list));
      renameSync(`${path}.new`, path);
    },
    'deleted and made anew': () => {
      rmSync(path);
      node.write('10-pods.conflist', list);
    },
    'entry changed': () => {
      node.write('10-pods.conflist', { ...list, plugins: [...list.plugins, { ...entry, socket: '/tmp/x' }] });
    },
    'entry doubled': () => {
      node.write('10-pods.conflist', { ...list, plugins: [...list.plugins, entry, entry] });
    },
    'folder replaced': () => {
      rmSync(node.confDir, { recursive: true });
      node.write('10-pods.conflist', list);
    },
    'plugin deleted': () => {
      rmSync(join(node.binDir, 'weft-cni'));
    },
    'plugin overwritten': () => {
      rmSync(join(node.binDir, 'weft-cni'));
      writeFileSync(join(node.binDir, 'weft-cni'), '#!/bin/sh\n');
    },
    'plugin folder removed': () => {
      rmSync(node.binDir, { recursive: true });
    },
    'plugin made unexecutable': () => {
      chmodSync(join(node.binDir, 'weft-cni'), 0o644);
    },
  };
  for (const [what, damage] of Object.entries(damages)) {
    damage();
    await until(`mended after: ${what}`, () => {
      try {
        return isWell() && (statSync(join(node.binDir, 'weft-cni')).mode & 0o777) === 0o755;
      } catch {
        return false;
      }
    });
  }
  assert.ok(node.installer.repairs >= Object.keys(damages).length, String(node.installer.repairs));
  assert.equal(node.codes().filter((code) => code === 'WEFT-E133').length, 1, 'a rival is named, once a minute');
});

test('a malformed file is named and left alone; a half-written one is waited for', async (t) => {
  const node = new Node(t);
  const half = JSON.stringify(list).slice(0, 40);
  node.write('10-a.conflist', half);
  node.write('20-b.conflist', list);
  node.installer.check();
  assert.deepEqual(node.types('20-b.conflist'), ['bridge', 'portmap'], 'the first may still be being written');
  node.run(t);
  await until('the next good one is taken', () => node.installer.problem === undefined);
  assert.deepEqual(node.types('20-b.conflist'), ['bridge', 'portmap', 'weft-cni']);
  assert.equal(readFileSync(join(node.confDir, '10-a.conflist'), 'utf8'), half);
  const named = node.lines.filter(({ code }) => code === 'WEFT-E131');
  assert.equal(named.length, 1);
  assert.match(named[0]?.error ?? '', /10-a\.conflist/);

  node.write('10-a.conflist', list);
  await until('taken once it is whole', () => node.types('10-a.conflist')?.at(-1) === 'weft-cni');
});

test('a good file that we cannot be chained into is no reason to go into one that no runtime looks at', async (t) => {
  const node = new Node(t);
  const old = { ...list, cniVersion: '0.2.0' };
  node.write('10-a.conflist', old);
  node.write('20-b.conflist', list);
  node.run(t);
  await until('it is told', () => node.installer.problem?.code === 'WEFT-E131');
  assert.match(node.installer.problem?.message ?? '', /^10-a\.conflist: its "cniVersion"/);
  await sleep(1200);
  assert.deepEqual([node.read('10-a.conflist'), node.read('20-b.conflist')], [old, list]);
  assert.deepEqual(node.codes(), ['WEFT-E131'], 'once');

  node.write('10-a.conflist', list);
  await until('chained', () => node.installer.problem === undefined);
  assert.equal(node.types('10-a.conflist')?.at(-1), 'weft-cni');
});

test('what is no file of a sensible size is passed over', (t) => {
  const node = new Node(t);
  mkdirSync(join(node.confDir, '00-folder.conf'), { recursive: true });
  symlinkSync('/nowhere', join(node.confDir, '01-dangling.conf'));
  symlinkSync('/dev/zero', join(node.confDir, '02-endless.conf'));
  node.write('10-a.conflist', list);
  node.installer.check();
  assert.equal(node.installer.problem, undefined);
  assert.equal(node.types('10-a.conflist')?.at(-1), 'weft-cni');
});

test('the plugin is replaced while it runs', async (t) => {
  const node = new Node(t, { binary: '/bin/true' });
  node.write('10-a.conflist', list);
  mkdirSync(node.binDir, { recursive: true });
  const installed = join(node.binDir, 'weft-cni');
  copyFileSync('/bin/sleep', installed);
  chmodSync(installed, 0o755);
  const running = spawn(installed, ['30']);
  await once(running, 'spawn');
  node.installer.check();
  assert.equal(node.installer.problem, undefined);
  assert.deepEqual(readFileSync(installed), readFileSync('/bin/true'));
  assert.equal(running.exitCode, null);
  running.kill();
  await once(running, 'exit');
});

test('what cannot be written is told with its cause, and made good later', (t) => {
  const node = new Node(t);
  node.write('10-a.conflist', list);
  writeFileSync(node.binDir, 'a file where the folder should be');
  node.installer.check();
  node.installer.check();
  assert.equal(node.installer.problem?.code, 'WEFT-E132');
  assert.match(node.installer.problem.message, /ENOTDIR|EEXIST/);
  assert.deepEqual(node.codes(), ['WEFT-E132'], 'once');
  assert.deepEqual(
    node.types('10-a.conflist'),
    ['bridge', 'portmap'],
    'no entry without the plugin: no pod would start',
  );
  rmSync(node.binDir);
  node.installer.check();
  assert.equal(node.installer.problem, undefined);
});

test('uninstalled from every file and folder; what was left by a killed installer goes, what is new stays', (t) => {
  const node = new Node(t);
  node.write('20-b.conf', single);
  node.installer.check();
  node.write('10-a.conflist', list);
  node.installer.check();
  for (const name of ['.weft-cni-1-1-1.tmp', '.weft-cni-2-2-2.tmp']) node.write(name, 'x');
  utimesSync(join(node.confDir, '.weft-cni-1-1-1.tmp'), 1, 1);
  node.installer.uninstall();
  assert.deepEqual(node.files(), ['.weft-cni-2-2-2.tmp', '10-a.conflist', '20-b.conf']);
  assert.deepEqual(node.read('10-a.conflist'), list);
  assert.deepEqual(node.read('20-b.conf'), single);
  assert.deepEqual(readdirSync(node.binDir), []);
  node.installer.uninstall();
});

test('nothing is written while all is well', (t) => {
  const node = new Node(t);
  node.write('10-a.conflist', list);
  node.installer.check();
  const before = statSync(join(node.confDir, '10-a.conflist')).ino;
  const folder = statSync(node.confDir).mtimeMs;
  for (let round = 0; round < 3; round += 1) node.installer.check();
  assert.equal(statSync(join(node.confDir, '10-a.conflist')).ino, before);
  assert.equal(statSync(node.confDir).mtimeMs, folder);
});
