import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

import type { NativeAddon } from './native.ts';

/** A network namespace that is open, and where it was found. The descriptor belongs to whoever asked. */
export interface FoundNetns {
  readonly descriptor: number;
  readonly path: string;
}

/**
 * Finds the network namespaces of pods that already run: a file in the folder where container runtimes put them, else a process
 * whose cgroup carries the pod's uid. Either counts only if the namespace holds the pod's address, as a process may be passing
 * through and a file's name says nothing.
 */
export class NetnsFinder {
  readonly #native: NativeAddon;
  readonly #folder: string;
  readonly #hostInode: bigint;

  constructor(native: NativeAddon, folder: string) {
    this.#native = native;
    this.#folder = folder;
    this.#hostInode = statSync('/proc/self/ns/net', { bigint: true }).ino;
  }

  /** Opens the namespace at the path if it holds one of the addresses. */
  open(path: string, addresses: readonly Uint8Array[]): FoundNetns | undefined {
    let descriptor: number | undefined;
    try {
      if (statSync(path, { bigint: true }).ino === this.#hostInode) return undefined;
      descriptor = this.#native.openNetns(path);
      const present = this.#native.netnsAddresses(descriptor);
      if (addresses.some((wanted) => present.some((address) => Buffer.compare(address, wanted) === 0))) {
        return { descriptor, path };
      }
    } catch {
      // Gone between listing and opening, or no namespace at all: not what was looked for.
    }
    if (descriptor !== undefined) this.#native.closeDescriptor(descriptor);
    return undefined;
  }

  find(podUid: string, addresses: readonly Uint8Array[]): FoundNetns | undefined {
    for (const path of this.#files()) {
      const found = this.open(path, addresses);
      if (found !== undefined) return found;
    }
    for (const path of processNamespaces(podUid)) {
      const found = this.open(path, addresses);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #files(): string[] {
    try {
      return readdirSync(this.#folder).map((name) => join(this.#folder, name));
    } catch {
      return [];
    }
  }
}

/** systemd's cgroup driver writes the uid with underscores. */
function* processNamespaces(podUid: string): Generator<string> {
  const spellings = [podUid, podUid.replaceAll('-', '_')];
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    let cgroups: string;
    try {
      cgroups = readFileSync(`/proc/${name}/cgroup`, 'utf8');
    } catch {
      continue;
    }
    if (spellings.some((spelling) => cgroups.includes(`pod${spelling}`))) yield `/proc/${name}/ns/net`;
  }
}
