import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';

import { Credentials } from './credentials.ts';
import { SavedLeaves } from './saved-leaves.ts';

function folderIn(t: TestContext, parent: string): string {
  const folder = mkdtempSync(join(parent, 'weft-leaves-'));
  t.after(() => {
    rmSync(folder, { recursive: true });
  });
  return folder;
}

function newCredentials(identity: string): Credentials {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const certificates = [Buffer.of(1), Buffer.of(2, 3)];
  return new Credentials(
    { identity, certificates, trustAnchors: [Buffer.of(4)], notAfter: new Date(5000) },
    privateKey,
  );
}

test('leaves and keys are found again, by root alone', (t) => {
  const path = join(folderIn(t, '/dev/shm'), 'leaves.json');
  const leaves = [newCredentials('web'), newCredentials('api')];
  new SavedLeaves(path).save([newCredentials('earlier')]);
  new SavedLeaves(path).save(leaves);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  const fields = ({ identity, certificates, trustAnchors, notAfter, privateKey }: Credentials): unknown[] => [
    identity,
    [...certificates, ...trustAnchors, privateKey].map((bytes) => Buffer.from(bytes).toString('hex')),
    notAfter,
  ];
  assert.deepEqual(new SavedLeaves(path).load().map(fields), leaves.map(fields));
});

test('what cannot be read is not used', (t) => {
  const path = join(folderIn(t, '/dev/shm'), 'leaves.json');
  assert.deepEqual(new SavedLeaves(path).load(), []);
  for (const text of ['', '{}', '{"version":2,"leaves":[]}', '{"version":1,"leaves":[{"privateKey":"x"}]}']) {
    writeFileSync(path, text);
    assert.deepEqual(new SavedLeaves(path).load(), []);
  }
});

test('nothing is written where files are on a disk', (t) => {
  const folder = folderIn(t, new URL('.', import.meta.url).pathname);
  const leaves = new SavedLeaves(join(folder, 'leaves.json'));
  leaves.save([newCredentials('web')]);
  assert.deepEqual(readdirSync(folder), []);
  assert.ok(!existsSync(join(folder, 'leaves.json')));
  assert.deepEqual(leaves.load(), []);
});
