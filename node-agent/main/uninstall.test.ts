import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { exchangeFiles } from '../cni-install/test-installer.ts';
import { parseConfig } from '../config.ts';
import { uninstallNode } from './uninstall.ts';

const network = { cniVersion: '1.0.0', name: 'pods', plugins: [{ type: 'bridge' }, { type: 'weft-cni' }] };

test('Weft leaves also a node whose kernel has always refused its programs', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'weft-uninstall-'));
  t.after(() => {
    rmSync(folder, { recursive: true });
  });
  const paths = ['run-dir', 'state-dir', 'pin-dir', 'cgroup', 'agent-cgroup', 'cni-conf-dir', 'cni-bin-dir'];
  for (const name of paths) mkdirSync(join(folder, name));
  writeFileSync(join(folder, 'cni-conf-dir', '10-pods.conflist'), JSON.stringify(network));
  const config = parseConfig([
    ...paths.map((name) => `--${name}=${join(folder, name)}`),
    ...['--controller', 'https://c:8086', '--admin', '127.0.0.1:0'],
  ]);
  const done: string[] = [];
  const { promise: told, resolve } = Promise.withResolvers<undefined>();
  const info = (_: unknown, message?: string): void => {
    if (message === undefined) resolve(undefined);
  };
  const native = {
    openCapture: () => {
      throw new Error('the kernel refused redirect.bpf.o');
    },
    uninstallCapture: (pinDir: string) => void done.push(pinDir),
    exchangeFiles,
  };
  const end = uninstallNode(config, { info, warn: () => undefined } as never, native as never);
  await Promise.race([told, end]);
  process.emit('SIGTERM');
  await end;
  assert.deepEqual(done, [config.pinDir]);
  assert.doesNotMatch(readFileSync(join(folder, 'cni-conf-dir', '10-pods.conflist'), 'utf8'), /weft-cni/);
  assert.ok([config.runDir, config.stateDir].every((path) => !existsSync(path) || readdirSync(path).length === 0));
});
