import { closeSync, fsyncSync, openSync, renameSync, writeSync } from 'node:fs';

/**
 * Which namespaces are opted in, for the CNI plugin to read while the agent is away; it survives a reboot. A half-written file would
 * let pods in unmeshed or stop them all, hence the temporary one.
 */
export function writeNamespacesFile(path: string, namespaces: readonly string[]): void {
  const temporary = `${path}.${process.pid}`;
  const file = openSync(temporary, 'w', 0o644);
  try {
    writeSync(file, `${JSON.stringify({ version: 1, namespaces })}\n`);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(temporary, path);
}
