import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

import type { PodWishes } from './pod-wishes.ts';

const version = 1;

/**
 * Which namespaces are opted in, for the CNI plugin to read while the agent is away; it survives a reboot. A half-written file would
 * let pods in unmeshed or stop them all, hence the temporary one.
 */
export function writeNamespacesFile(path: string, namespaces: readonly string[]): void {
  const temporary = `${path}.${process.pid}`;
  withFile(temporary, 'w', (file) => {
    writeFileSync(file, `${JSON.stringify({ version, namespaces })}\n`);
    fsyncSync(file);
  });
  renameSync(temporary, path);
  withFile(dirname(path), 'r', fsyncSync);
}

/** Writes what is opted in whenever that has changed. */
export function keepNamespacesFile(path: string, wishes: Pick<PodWishes, 'optedInNamespaces' | 'onChange'>): void {
  let written: string | undefined;
  const write = (): void => {
    const namespaces = wishes.optedInNamespaces();
    if (namespaces === undefined || namespaces.join() === written) return;
    writeNamespacesFile(path, namespaces);
    written = namespaces.join();
  };
  wishes.onChange(write);
  write();
}

/** @throws Error for a file that the plugin would not go by. */
export function readNamespacesFile(path: string): readonly string[] {
  const content: unknown = JSON.parse(readFileSync(path, 'utf8'));
  if (typeof content !== 'object' || content === null || !('version' in content) || content.version !== version) {
    throw new Error(`${path} is not of version ${version}`);
  }
  if (!('namespaces' in content) || !isTexts(content.namespaces)) throw new Error(`${path} has no list of namespaces`);
  return content.namespaces;
}

function withFile(path: string, flags: string, use: (file: number) => void): void {
  const file = openSync(path, flags, 0o644);
  try {
    use(file);
  } finally {
    closeSync(file);
  }
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}
