import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { readNamespacesFile, writeNamespacesFile } from './namespaces-file.ts';

test('what is written is read, and no temporary file stays', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'weft-namespaces-'));
  t.after(() => {
    rmSync(folder, { recursive: true });
  });
  const path = join(folder, 'namespaces.json');
  for (const namespaces of [['bank', 'shop'], []]) {
    writeNamespacesFile(path, namespaces);
    assert.deepEqual(readNamespacesFile(path), namespaces);
  }
  assert.deepEqual(readdirSync(folder), ['namespaces.json']);

  for (const content of ['', '[]', '{}', '{"version":2,"namespaces":[]}', '{"version":1,"namespaces":["a",1]}']) {
    writeFileSync(path, content);
    assert.throws(() => readNamespacesFile(path), content);
  }
  assert.throws(() => readNamespacesFile(join(folder, 'other.json')), { code: 'ENOENT' });
});
