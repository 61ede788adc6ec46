import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

import type { NativeAddon } from './native.ts';

/** A network namespace that is open, and where it was found. The descriptor belongs to whoever asked. */
export interface FoundNetns {
  readonly descriptor: number;
  readonly path: string;
}

/** How long one look at all processes serves: a namespace's pods join together. */
const indexLifeMs = 200;

/**
 * Finds the network namespaces of pods that already run: that of a process whose cgroup carries the pod's uid, else a file in the folder
 * where container runtimes put them. Either counts only if the namespace holds the pod's address: a process may be passing through, and
 * a file's name says nothing. Files come second, as what a crashed sandbox left behind may hold an address that is in use again.
 */
export class NetnsFinder {
  readonly #native: NativeAddon;
  readonly #folder: string;
  readonly #hostInode: bigint;
  #index: { readonly madeAt: number; readonly paths: ReadonlyMap<string, readonly string[]> } | undefined;

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

  /** The path is one that outlives the pod's processes, where there is one. */
  find(podUid: string, addresses: readonly Uint8Array[]): FoundNetns | undefined {
    const files = this.#files();
    for (const path of this.#namespacesOf(podUid)) {
      const found = this.open(path, addresses);
      if (found === undefined) continue;
      const inode = inodeOf(path);
      return { ...found, path: files.find((file) => inode !== undefined && inodeOf(file) === inode) ?? path };
    }
    for (const path of files) {
      const found = this.open(path, addresses);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #namespacesOf(podUid: string): readonly string[] {
    const now = performance.now();
    if (this.#index === undefined || now - this.#index.madeAt > indexLifeMs)
      this.#index = { madeAt: now, paths: namespacesByPodUid() };
    return this.#index.paths.get(podUid) ?? [];
  }

  #files(): string[] {
    try {
      return readdirSync(this.#folder).map((name) => join(this.#folder, name));
    } catch {
      return [];
    }
  }
}

function namespacesByPodUid(): Map<string, string[]> {
  const paths = new Map<string, string[]>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const uid = podUidOf(name);
    if (uid === undefined) continue;
    const known = paths.get(uid);
    if (known === undefined) paths.set(uid, [`/proc/${name}/ns/net`]);
    else known.push(`/proc/${name}/ns/net`);
  }
  return paths;
}

/** systemd's cgroup driver writes the uid with underscores. */
function podUidOf(process: string): string | undefined {
  try {
    const [, uid] = /pod([0-9a-f][0-9a-f_-]{7,63})/.exec(readFileSync(`/proc/${process}/cgroup`, 'utf8')) ?? [];
    return uid?.replaceAll('_', '-');
  } catch {
    return undefined; // it has ended
  }
}

function inodeOf(path: string): bigint | undefined {
  try {
    return statSync(path, { bigint: true }).ino;
  } catch {
    return undefined;
  }
}
