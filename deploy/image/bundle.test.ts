import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { lstatSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { run } from '../../test/lab/command.ts';

const source = new URL('../../', import.meta.url).pathname;
const { version } = JSON.parse(readFileSync(join(source, 'package.json'), 'utf8')) as { version: string };
const maximumBytes = 150_000_000;

/** What the Dockerfile sets. */
const environment = Object.fromEntries(
  readFileSync(join(source, 'Dockerfile'), 'utf8')
    .matchAll(/(WEFT_\w+|PATH)=(\/\S+)/g)
    .map(([, name, value]) => [name, value]),
) as Record<string, string>;

describe('the root of the image', () => {
  let root: string;

  before(() => {
    root = mkdtempSync(join(tmpdir(), 'weft-image-'));
    execFileSync(process.execPath, [join(source, 'deploy/image/bundle.ts'), root], { stdio: 'inherit' });
  });

  after(() => {
    rmSync(root, { recursive: true });
  });

  /** In it and in nothing else: what it lacks, the program lacks. */
  function inside(...command: string[]): ReturnType<typeof run> {
    return run(['/usr/sbin/chroot', root, ...command], { env: environment, timeoutMs: 20_000 });
  }

  test('its programs say who they are and how they are used', async () => {
    for (const program of ['weft-agent', 'weft-controller']) {
      const said = await inside(`/opt/weft/bin/${program}`, '--version');
      assert.equal(said.stdout, `${program} ${version}\n`, said.stderr);
      const help = await inside(`/opt/weft/bin/${program}`, '--help');
      assert.match(help.stdout, new RegExp(`^Usage: ${program} `), help.stderr);
    }
    const wrong = await inside('/opt/weft/bin/weft-agent', '--wrokers', '3');
    assert.equal(wrong.code, 2);
    assert.match(wrong.stderr, /--wrokers/);
  });

  test('every path that the environment names is there, and the addon loads', async () => {
    const { PATH: path = '', ...files } = environment;
    assert.ok(Object.keys(files).length >= 5);
    for (const file of [path, ...Object.values(files)]) assert.ok(lstatSync(join(root, file)), file);
    const { stdout, stderr } = await inside(
      `${path}/node`,
      '-e',
      `console.log(typeof require('${environment['WEFT_ADDON']}').openCapture)`,
    );
    assert.equal(stdout, 'function\n', stderr);
    const version = await run([join(root, environment['WEFT_CNI'] ?? '')], {
      env: { CNI_COMMAND: 'VERSION' },
      input: '{"cniVersion":"1.0.0"}',
    });
    assert.match(version.stdout, /"supportedVersions"/);
    assert.equal((await inside(environment['WEFT_BROKER'] ?? '')).code, 2, 'the broker, without arguments');
  });

  test('the controller runs, and has its client for Kubernetes', async () => {
    for (const folder of ['objects', 'state']) mkdirSync(join(root, 'tmp', folder));
    writeFileSync(join(root, 'tmp/objects/ns.yaml'), 'apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n');
    const args = ['--manifests', '/tmp/objects', '--state-dir', '/tmp/state', '--listen', '127.0.0.1:0'];
    const controller = spawn(
      '/usr/sbin/chroot',
      [root, '/opt/weft/bin/weft-controller', ...args, '--admin', '127.0.0.1:0'],
      { env: environment, stdio: ['ignore', 'ignore', 'pipe'], timeout: 20_000 },
    );
    let said = '';
    for await (const chunk of controller.stderr) {
      said += String(chunk);
      if (said.includes('"ready"')) break;
    }
    assert.match(said, /"msg":"ready"/);
    controller.kill('SIGTERM');
    await once(controller, 'exit');

    const refused = await inside('/opt/weft/bin/weft-controller', '--kubernetes', '--kubeconfig', '/nowhere');
    assert.equal(refused.code, 2);
    assert.match(refused.stderr, /nowhere/);
  });

  test('it is small, and no sources or tests are in it', () => {
    let bytes = 0;
    for (const name of readdirSync(root, { recursive: true, encoding: 'utf8' })) {
      bytes += lstatSync(join(root, name)).size;
      assert.doesNotMatch(name, /\.ts$|\.test\.|node_modules/);
    }
    assert.ok(bytes < maximumBytes, `${Math.round(bytes / 1e6)} MB`);
  });
});
