import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
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
  readonly recordConstants: Readonly<Record<'actions' | 'detections' | 'closeReasons', Numbers>>;
  readonly request: Readonly<Record<string, Structure>>;
  readonly requestConstants: Readonly<Record<'actions' | 'methods' | 'flags' | 'outcomeFlags' | 'endings', Numbers>> & {
    readonly noGrpcStatus: number;
  };
  /** By name. */
  readonly messageErrors: Readonly<Record<string, { readonly number: number; readonly status: number }>>;
}

type Numbers = Readonly<Record<string, number>>;

/** Where C++ has a member of a layout in native/engine.d.ts. */
export interface Place {
  readonly path: string;
  readonly offset: number;
  readonly size: number;
}

const parts = ['identity', 'decision', 'outcome'];

/** One of the records that the engine shows: as native/engine.d.ts lays it out, and as the compiler does. */
export class RecordLayout {
  /** Offsets that native/engine.d.ts tells, by name. */
  readonly told: ReadonlyMap<string, number>;
  readonly size: number;
  readonly #compiled: Readonly<Record<string, Structure>>;
  readonly #otherNames: Readonly<Record<string, string>>;

  /** @param otherNames paths of members that native/engine.d.ts calls otherwise */
  constructor(
    name: string,
    compiled: Readonly<Record<string, Structure>>,
    otherNames: Readonly<Record<string, string>>,
  ) {
    const text = readFileSync(new URL('../../native/engine.d.ts', import.meta.url), 'utf8');
    const body = new RegExp(`interface ${name} \\{([^}]*)\\}`).exec(text)?.[1] ?? '';
    const members = body.matchAll(/^ {2}readonly (\w+): (\d+);$/gm);
    this.told = new Map([...members].map(([, member = '', offset]) => [member, Number(offset)]));
    this.size = compiled['record']?.size ?? 0;
    this.#compiled = compiled;
    this.#otherNames = otherNames;
  }

  placeOf(name: string): Place {
    const other = this.#otherNames[name];
    for (const path of other === undefined ? parts.map((part) => `${part}.${snakeCase(name)}`) : [other]) {
      const [part = '', member = ''] = path.split('.');
      const place = this.#compiled[part]?.members[member];
      const start = this.#compiled['record']?.members[part];
      if (place && start) return { path, offset: start.offset + place.offset, size: place.size };
    }
    throw new assert.AssertionError({ message: `C++ has no ${name}` });
  }

  assertSame(): void {
    assertNoHoles(this.#compiled);
    for (const [name, offset] of this.told) assert.equal(offset, this.placeOf(name).offset, name);
    const told = new Set([...this.told.keys()].map((name) => this.placeOf(name).path));
    const members = parts.flatMap((part) =>
      Object.keys(this.#compiled[part]?.members ?? {}).map((member) => `${part}.${member}`),
    );
    assert.deepEqual(
      members.filter((path) => !path.endsWith('.reserved') && !told.has(path)),
      [],
    );
  }

  /** Names that have a getter in the class. @param shown what a getter makes of the number 7, where that is not 7 */
  assertReads(create: () => { readonly buffer: ArrayBuffer }, shown: Readonly<Record<string, unknown>>): string[] {
    const isGetter = (name: string): boolean =>
      Object.getOwnPropertyDescriptor(Object.getPrototypeOf(create()), name)?.get !== undefined;
    const names = [...this.told.keys()].filter((name) => isGetter(name));
    for (const name of names) {
      const record = create();
      const { offset, size } = this.placeOf(name);
      const view = new DataView(record.buffer);
      if (size === 8) view.setFloat64(offset, 7, true);
      else view.setUint32(offset, 7, true);
      assert.equal(Reflect.get(record, name), shown[name] ?? 7, name);
    }
    return names;
  }

  /** @returns how many views of addresses the record has */
  assertAddresses(record: { readonly buffer: ArrayBuffer }): number {
    assert.equal(record.buffer.byteLength, this.size);
    const isAddress = (entry: [string, unknown]): entry is [string, Uint8Array] => entry[1] instanceof Uint8Array;
    const addresses = Object.entries<unknown>({ ...record }).filter(isAddress);
    for (const [name, address] of addresses) {
      const { offset, size } = this.placeOf(name);
      assert.deepEqual([address.byteOffset, address.byteLength], [offset, size], name);
    }
    return addresses.length;
  }
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
