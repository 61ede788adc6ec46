import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export interface Structure {
  readonly size: number;
  readonly members: Readonly<Record<string, { readonly offset: number; readonly size: number }>>;
}

/** What test/bpf/layouts.cc prints. */
export interface CompiledLayouts {
  readonly kernel: Readonly<Record<string, Structure>>;
  readonly broker: Readonly<Record<string, Structure>>;
  readonly brokerConstants: Readonly<Record<string, number>>;
  readonly record: Readonly<Record<string, Structure>>;
  readonly recordConstants: Readonly<Record<'actions' | 'closeReasons', Readonly<Record<string, number>>>>;
}

/** The compiler's view of the structures that C++ shares with the kernel's programs and with TypeScript; made by `make build`. */
export function compiledLayouts(): CompiledLayouts {
  const program = fileURLToPath(new URL('../../build/layouts', import.meta.url));
  const { stdout, status, error } = spawnSync(program, { encoding: 'utf8', timeout: 10_000 });
  assert.equal(status, 0, error?.message ?? program);
  return JSON.parse(stdout) as CompiledLayouts;
}

/** A hole is implicit padding, or a member that layouts.cc does not print yet. */
export function assertNoHoles(structures: Readonly<Record<string, Structure>>): void {
  for (const [name, { size, members }] of Object.entries(structures)) {
    let end = 0;
    for (const [member, place] of Object.entries(members)) {
      assert.equal(place.offset, end, `there is a hole before ${member} of ${name}`);
      end += place.size;
    }
    assert.equal(end, size, `there is a hole at the end of ${name}`);
  }
}

export function snakeCase(camelCase: string): string {
  return camelCase.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
