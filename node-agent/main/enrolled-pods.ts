import { readFileSync, renameSync, writeFileSync } from 'node:fs';

import type { Skips } from '../../mesh/skips.ts';

/** A pod whose traffic is captured. */
export interface EnrolledPod {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  /** The kernel's name for it: unique on the node, reused only after the pod is gone. */
  readonly id: number;
  readonly cookie: bigint;
  readonly netnsPath: string;
  readonly ipv4: Uint8Array | undefined;
  readonly ipv6: Uint8Array | undefined;
  readonly skips: Skips;
  /** containerPorts, which no listener may take. */
  readonly ports: readonly number[];
  /** Of the CNI ADD that enrolled it; absent where it was found running. */
  readonly containerId: string | undefined;
}

const fileVersion = 1;

/**
 * The enrolled pods, also on disk, so that the next main process knows which namespaces the pinned maps speak of. The file lies on a
 * file system that does not survive a reboot, as namespaces do not either.
 */
export class EnrolledPods {
  readonly #path: string;
  readonly #byUid = new Map<string, EnrolledPod>();

  constructor(path: string) {
    this.#path = path;
  }

  get(uid: string): EnrolledPod | undefined {
    return this.#byUid.get(uid);
  }

  values(): EnrolledPod[] {
    return [...this.#byUid.values()];
  }

  set(pod: EnrolledPod): void {
    this.#byUid.set(pod.uid, pod);
    this.#save();
  }

  delete(uid: string): void {
    if (this.#byUid.delete(uid)) this.#save();
  }

  /** What an earlier process wrote. A file that is missing or not ours to read gives nothing: pods are then found anew. */
  readPredecessors(): EnrolledPod[] {
    try {
      const content: unknown = JSON.parse(readFileSync(this.#path, 'utf8'), revive);
      if (!isFile(content)) return [];
      return content.pods;
    } catch {
      return [];
    }
  }

  #save(): void {
    const temporary = `${this.#path}.${process.pid}`;
    const content = JSON.stringify({ version: fileVersion, pods: this.values() }, replace);
    writeFileSync(temporary, content, { mode: 0o600 });
    renameSync(temporary, this.#path);
  }
}

function isFile(content: unknown): content is { pods: EnrolledPod[] } {
  return (
    typeof content === 'object' &&
    content !== null &&
    'version' in content &&
    content.version === fileVersion &&
    'pods' in content &&
    Array.isArray(content.pods)
  );
}

function replace(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return { bigint: String(value) };
  if (value instanceof Uint8Array) return { bytes: Buffer.from(value).toString('hex') };
  return value;
}

function revive(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if ('bigint' in value) return BigInt(String(value.bigint));
  if ('bytes' in value) return new Uint8Array(Buffer.from(String(value.bytes), 'hex'));
  return value;
}
