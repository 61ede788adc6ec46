import { createPrivateKey } from 'node:crypto';
import { readFileSync, renameSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

import { Credentials } from './credentials.ts';

/** TMPFS_MAGIC and RAMFS_MAGIC of linux/magic.h. */
const memoryFileSystems = new Set([0x01021994, 0x858458f6]);
const formatVersion = 1;

interface SavedLeaf {
  readonly identity: string;
  readonly certificates: readonly string[];
  readonly trustAnchors: readonly string[];
  readonly privateKey: string;
  readonly notAfter: number;
}

/**
 * Leaves with their keys, for the next agent of this boot: without the controller it could not get others. Only in a file that is memory,
 * as keys never touch a disk; elsewhere nothing is saved.
 */
export class SavedLeaves {
  readonly #path: string;
  readonly #isMemory: boolean;

  constructor(path: string) {
    this.#path = path;
    this.#isMemory = memoryFileSystems.has(statfsSync(dirname(path)).type);
  }

  /** None where there is no file that can be used. */
  load(): Credentials[] {
    if (!this.#isMemory) return [];
    try {
      const saved = JSON.parse(readFileSync(this.#path, 'utf8')) as { version: unknown; leaves: readonly SavedLeaf[] };
      return saved.version === formatVersion ? saved.leaves.map(decode) : [];
    } catch {
      return [];
    }
  }

  /** @throws an error of the file system */
  save(leaves: readonly Credentials[]): void {
    if (!this.#isMemory) return;
    const temporary = `${this.#path}.new`;
    rmSync(temporary, { force: true }); // whose mode could be another
    writeFileSync(temporary, JSON.stringify({ version: formatVersion, leaves: leaves.map(encode) }), { mode: 0o600 });
    renameSync(temporary, this.#path);
  }
}

function encode({ identity, certificates, trustAnchors, privateKey, notAfter }: Credentials): SavedLeaf {
  return {
    identity,
    certificates: certificates.map(toBase64),
    trustAnchors: trustAnchors.map(toBase64),
    privateKey: toBase64(privateKey),
    notAfter: notAfter.getTime(),
  };
}

function decode({ identity, certificates, trustAnchors, privateKey, notAfter }: SavedLeaf): Credentials {
  const key = createPrivateKey({ key: Buffer.from(privateKey, 'base64'), format: 'der', type: 'pkcs8' });
  return new Credentials(
    {
      identity,
      certificates: certificates.map(fromBase64),
      trustAnchors: trustAnchors.map(fromBase64),
      notAfter: new Date(notAfter),
    },
    key,
  );
}

function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}

function fromBase64(text: string): Uint8Array {
  return Buffer.from(text, 'base64');
}
