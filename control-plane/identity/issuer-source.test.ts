import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import {
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { WeftError } from '../../mesh/errors.ts';
import type { Issuer, IssuerTexts } from './issuer.ts';
import { openIssuerFolder } from './issuer-folder.ts';
import type { IssuerSourceOptions } from './issuer-source.ts';
import { IssuerSource } from './issuer-source.ts';
import { createAuthority } from './new-authority.ts';
import { OpenSsl } from './test-identity.ts';

const scratch = new OpenSsl();
after(() => {
  scratch.close();
});
let folders = 0;
const newPath = () => join(scratch.folder, `folder-${++folders}`);

function put(folder: string, texts: IssuerTexts, names = ['tls.crt', 'tls.key']): void {
  mkdirSync(folder, { recursive: true });
  const [certificates = '', key = ''] = names;
  writeFileSync(join(folder, certificates), texts.certificates);
  writeFileSync(join(folder, key), texts.key);
  writeFileSync(join(folder, 'ca.crt'), texts.anchors);
}

async function openSource(options: IssuerSourceOptions): Promise<IssuerSource> {
  const source = await IssuerSource.open(options);
  if (source instanceof WeftError) throw source;
  return source;
}

const firstOf = ({ chain }: Issuer) => new X509Certificate(chain[0] ?? '').toString();

test('the first start makes an authority for its owner only, the next one keeps it', async () => {
  const folder = newPath();
  const made = await openIssuerFolder(folder);
  assert.ok(!(made instanceof WeftError));
  assert.deepEqual(readdirSync(folder).sort(), ['ca.crt', 'tls.crt', 'tls.key']);
  assert.equal(statSync(folder).mode & 0o777, 0o700);
  for (const name of readdirSync(folder)) assert.equal(statSync(join(folder, name)).mode & 0o777, 0o600);
  assert.deepEqual(await openIssuerFolder(folder), made);
  assert.deepEqual(
    readdirSync(scratch.folder).filter((name) => name.includes('.new-')),
    [],
  );
});

test('of many first starts at once all have the same authority', async () => {
  const folder = newPath();
  mkdirSync(folder);
  const all = await Promise.all(Array.from({ length: 8 }, () => openIssuerFolder(folder)));
  for (const one of all) assert.deepEqual(one, all[0]);
  assert.ok(!(all[0] instanceof WeftError));
});

test('a folder that holds something else or only some of the files is left as it is', async () => {
  const partial = newPath();
  put(partial, createAuthority());
  rmSync(join(partial, 'tls.key'));
  const other = newPath();
  mkdirSync(other);
  writeFileSync(join(other, 'notes'), 'x');
  for (const [folder, reason] of [
    [partial, /lacks tls.key/],
    [other, /holds files, but no issuer/],
    [join(other, 'notes', 'below'), /could not be/],
  ] as const) {
    const result = await openIssuerFolder(folder);
    assert.ok(result instanceof WeftError);
    assert.equal(result.code, 'WEFT-E213');
    assert.match(result.message, reason);
  }
  assert.deepEqual(readdirSync(other), ['notes']);
});

test("both schemes of names are read, Kubernetes' first", async () => {
  const [ours, linkerds] = [createAuthority(), createAuthority()];
  const folder = newPath();
  put(folder, linkerds, ['crt.pem', 'key.pem']);
  assert.deepEqual(await openIssuerFolder(folder), linkerds);
  put(folder, ours);
  assert.deepEqual(await openIssuerFolder(folder), ours);
});

test('a new issuer signs without a restart; a bad one is refused once and the old one kept', async () => {
  const folder = newPath();
  const [old, next] = [createAuthority(), createAuthority()];
  put(folder, old);
  const waiting: ((event: Issuer | WeftError) => void)[] = [];
  const events: (Issuer | WeftError)[] = [];
  const tell = (event: Issuer | WeftError) => {
    events.push(event);
    waiting.shift()?.(event);
  };
  const nextEvent = () => new Promise<Issuer | WeftError>((resolve) => waiting.push(resolve));
  const source = await openSource({ folder, pollMs: 10, onChange: tell, onRefused: tell });
  try {
    assert.equal(firstOf(source.current), old.certificates);

    let event = nextEvent();
    put(folder, { ...old, key: next.key });
    const refusal = await event;
    assert.ok(refusal instanceof WeftError && refusal.code === 'WEFT-E211');
    assert.match(refusal.message, /not the key of its certificate/);
    assert.equal(firstOf(source.current), old.certificates);
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(events.length, 1, 'said once');

    event = nextEvent();
    renameSync(folder, newPath()); // in one step, so that it is said once
    assert.ok((await event) instanceof WeftError);
    assert.equal(firstOf(source.current), old.certificates);

    // As the kubelet does it: a new folder, and a symbolic link renamed over the old one.
    event = nextEvent();
    const version = newPath();
    put(version, { ...next, anchors: old.anchors + next.anchors });
    symlinkSync(version, `${folder}.link`);
    renameSync(`${folder}.link`, folder);
    const replaced = await event;
    assert.ok(!(replaced instanceof WeftError));
    assert.equal(firstOf(source.current), next.certificates);
    assert.equal(source.current.anchors.length, 2);

    event = nextEvent();
    writeFileSync(join(version, 'ca.crt'), next.anchors);
    assert.ok(!((await event) instanceof WeftError));
    assert.equal(source.current.anchors.length, 1);
  } finally {
    await source.close();
  }
});

test('an issuer that is bad at the start is an error', async () => {
  const folder = newPath();
  put(folder, { ...createAuthority(), key: createAuthority().key });
  const result = await IssuerSource.open({ folder });
  assert.ok(result instanceof WeftError && result.code === 'WEFT-E211');
  assert.ok(!JSON.stringify(result).includes(readFileSync(join(folder, 'tls.key'), 'utf8').slice(30, 60)));
});
