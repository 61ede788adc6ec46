import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

import type { Structure } from './layouts.ts';

interface BtfType {
  readonly id: number;
  readonly kind: string;
  readonly name: string;
  readonly size?: number;
  readonly type_id?: number;
  readonly nr_elems?: number;
  readonly members?: readonly { readonly name: string; readonly type_id: number; readonly bits_offset: number }[];
  readonly vars?: readonly { readonly type_id: number }[];
}

/** The types that clang wrote into the object of the kernel's programs. */
export class Btf {
  readonly #types: ReadonlyMap<number, BtfType>;

  constructor() {
    const object = fileURLToPath(new URL('../../build/bpf/redirect.bpf.o', import.meta.url));
    const { stdout, status, stderr } = spawnSync('bpftool', ['btf', 'dump', 'file', object, '-j'], {
      encoding: 'utf8',
      timeout: 10_000,
    });
    assert.equal(status, 0, stderr);
    const { types } = JSON.parse(stdout) as { readonly types: readonly BtfType[] };
    this.#types = new Map(types.map((type) => [type.id, type]));
  }

  structure(name: string): Structure | undefined {
    const type = [...this.#types.values()].find((candidate) => candidate.kind === 'STRUCT' && candidate.name === name);
    if (type === undefined) return undefined;
    const members = (type.members ?? []).map((member) => [
      member.name,
      { offset: member.bits_offset / 8, size: this.#sizeOf(member.type_id) },
    ]);
    return { size: type.size ?? 0, members: Object.fromEntries(members) as Structure['members'] };
  }

  /** Names of the structures that are keys or values of maps. */
  structuresOfMaps(): Set<string> {
    const section = [...this.#types.values()].find((type) => type.kind === 'DATASEC' && type.name === '.maps');
    const names = new Set<string>();
    for (const { type_id: variable } of section?.vars ?? []) {
      const map = this.#type(this.#type(variable).type_id ?? 0);
      for (const member of map.members ?? []) {
        if (member.name !== 'key' && member.name !== 'value') continue;
        const type = this.#type(this.#type(member.type_id).type_id ?? 0);
        if (type.kind === 'STRUCT') names.add(type.name);
      }
    }
    return names;
  }

  #type(id: number): BtfType {
    const type = this.#types.get(id);
    assert.ok(type, `the object has no type ${id}`);
    return type;
  }

  #sizeOf(id: number): number {
    const type = this.#type(id);
    if (type.kind === 'ARRAY') return (type.nr_elems ?? 0) * this.#sizeOf(type.type_id ?? 0);
    return type.size ?? this.#sizeOf(type.type_id ?? 0);
  }
}
