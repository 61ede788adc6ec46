import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { test } from 'node:test';

const root = join(import.meta.dirname, '../..');
const buf = join(root, 'node_modules/@bufbuild/buf-linux-x64/bin/buf');
const binaries = join(root, 'node_modules/.bin'); // where buf finds its plugin
const environment = { ...process.env, PATH: [binaries, process.env['PATH']].join(delimiter) };
const inProto = { cwd: join(root, 'control-plane/proto'), env: environment, stdio: 'pipe', timeout: 60_000 } as const;

test('the generated code is what the schema generates, and the schema is clean', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'weft-gen-'));
  t.after(() => rmSync(folder, { recursive: true }));
  execFileSync(buf, ['lint'], inProto);
  execFileSync(buf, ['format', '--diff', '--exit-code'], inProto);
  execFileSync(buf, ['generate', '--output', join(folder, 'proto')], inProto);
  const generated = (base: string): Map<string, string> =>
    new Map(
      readdirSync(join(base, 'weft/v1'))
        .sort()
        .map((name) => [name, readFileSync(join(base, 'weft/v1', name), 'utf8')]),
    );
  assert.equal(generated(join(folder, 'gen')).size, 3);
  assert.deepEqual(generated(join(root, 'control-plane/gen')), generated(join(folder, 'gen')));
});
