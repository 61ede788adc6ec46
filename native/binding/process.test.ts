import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

const native = new URL('../../node-agent/main/native.ts', import.meta.url).href;

test('a process that holds keys leaves no core dump, and no other user reads its memory', () => {
  const script = `
    import { readFileSync } from 'node:fs';
    import { loadNativeAddon } from ${JSON.stringify(native)};
    const limit = () => /^Max core file size +(\\S+) +(\\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8')).slice(1);
    loadNativeAddon().forbidCoreDumps();
    console.log(JSON.stringify(limit()));
    process.abort();`;
  const { stdout, signal, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
    timeout: 30_000,
  });
  assert.equal(stdout.trim(), '["0","0"]', stderr);
  assert.equal(signal, 'SIGABRT');
});
