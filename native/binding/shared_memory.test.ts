import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, fstatSync, ftruncateSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';

import { loadNativeAddon } from '../../node-agent/main/native.ts';

const native = loadNativeAddon();
const bytes = 64 * 1024;

function newMemory(t: TestContext, size = bytes): number {
  const descriptor = native.createSharedMemory(size);
  t.after(() => closeSync(descriptor));
  return descriptor;
}

test('two mappings are the same memory, which is 0 at first', (t) => {
  const descriptor = newMemory(t);
  const first = new Uint8Array(native.mapSharedMemory(descriptor));
  const second = new Uint8Array(native.mapSharedMemory(descriptor));
  assert.equal(first.length, bytes);
  assert.ok(second.every((byte) => byte === 0));
  first.set([1, 2, 3], bytes - 3);
  assert.deepEqual([...second.subarray(-3)], [1, 2, 3]);
  second[0] = 9;
  assert.equal(first[0], 9);
});

test('two memories are two', (t) => {
  const [first, second] = [newMemory(t), newMemory(t)].map(
    (descriptor) => new Uint8Array(native.mapSharedMemory(descriptor)),
  );
  assert.ok(first && second);
  first.fill(1);
  assert.ok(second.every((byte) => byte === 0));
});

test('nobody who has the descriptor changes the size', (t) => {
  const descriptor = newMemory(t);
  const memory = new Uint8Array(native.mapSharedMemory(descriptor));
  for (const size of [0, 1, bytes - 1, bytes + 1, 10 * bytes])
    assert.throws(() => ftruncateSync(descriptor, size), { code: 'EPERM' }, `${size} bytes`);
  // Through another open file of it, too.
  const again = openSync(`/proc/self/fd/${descriptor}`, 'r+');
  t.after(() => closeSync(again));
  assert.throws(() => ftruncateSync(again, 0), { code: 'EPERM' });
  assert.equal(fstatSync(descriptor).size, bytes);
  memory[bytes - 1] = 1;
  assert.equal(memory[bytes - 1], 1);
});

function runChild(script: string, stdio: readonly (number | 'ignore' | 'pipe')[], flags: string[] = []): string {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [...flags, '--input-type=module-typescript', '--eval', script],
    { stdio: [...stdio], encoding: 'utf8', cwd: import.meta.dirname, timeout: 20_000 },
  );
  assert.equal(status, 0, stderr);
  return stdout;
}

const load =
  "const { loadNativeAddon } = await import('../../node-agent/main/native.ts'); const native = loadNativeAddon();";

test('a child that inherits the descriptor shares the memory, and what it wrote outlives it', (t) => {
  const descriptor = newMemory(t);
  const memory = new Float64Array(native.mapSharedMemory(descriptor));
  memory[3] = 1.5;
  const shown = runChild(
    `${load}
     import { ftruncateSync } from 'node:fs';
     const memory = new Float64Array(native.mapSharedMemory(3));
     console.log(memory[3]);
     memory[4] = 2.5;
     try { ftruncateSync(3, 0) } catch (error) { console.log(error.code) }`,
    ['ignore', 'pipe', 'pipe', descriptor],
  );
  assert.equal(shown, '1.5\nEPERM\n');
  assert.equal(memory[4], 2.5);
});

test('a child has it only where it is given it', (t) => {
  const descriptor = newMemory(t);
  const script = `import { readdirSync, readlinkSync } from 'node:fs';
    const link = (name) => { try { return readlinkSync('/proc/self/fd/' + name); } catch { return ''; } };
    console.log(readdirSync('/proc/self/fd').filter((name) => link(name).includes('memfd:weft')).join());`;
  assert.equal(runChild(script, ['ignore', 'pipe', 'pipe']), '\n');
  assert.equal(runChild(script, ['ignore', 'pipe', 'pipe', 'ignore', descriptor]), '4\n');
});

test('a mapping stays while it is used and goes with its last user', () => {
  const shown = runChild(
    `${load}
     import { closeSync, readFileSync } from 'node:fs';
     const mapped = () => readFileSync('/proc/self/maps', 'utf8').split('memfd:weft').length - 1;
     const descriptor = native.createSharedMemory(${bytes});
     const kept = new Uint8Array(native.mapSharedMemory(descriptor));
     for (let count = 0; count < 50; count++) new Uint8Array(native.mapSharedMemory(descriptor))[0]++;
     console.log(mapped() > 1);
     closeSync(descriptor);
     for (let count = 0; count < 20 && mapped() > 1; count++) { gc(); await new Promise(setImmediate); }
     console.log(mapped(), kept[0]);`,
    ['ignore', 'pipe', 'pipe'],
    ['--expose-gc'],
  );
  assert.equal(shown, 'true\n1 50\n');
});

test('what is no memory cannot be mapped', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'weft-memory-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const empty = openSync(join(folder, 'empty'), 'w+');
  t.after(() => closeSync(empty));
  assert.throws(() => native.mapSharedMemory(empty), /mmap/);
  assert.throws(() => native.mapSharedMemory(newMemory(t, 0)), /mmap/);
  const closed = native.createSharedMemory(bytes);
  native.closeDescriptor(closed);
  assert.throws(() => native.mapSharedMemory(closed), /fstat/);
  for (const value of [-1, 1.5, NaN, '3', undefined, null, 2 ** 32, {}]) {
    assert.throws(() => native.mapSharedMemory(value as number), TypeError);
    assert.throws(() => native.createSharedMemory(value as number), TypeError);
  }
});
