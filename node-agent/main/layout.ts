import { join } from 'node:path';

/** Where the build put the kernel programs. */
export const bpfObjects = process.env['WEFT_BPF'] ?? new URL('../../build/bpf', import.meta.url).pathname;

/** @param generation its folder */
export function brokerPath(generation: string): string {
  return join(generation, 'broker.sock');
}

/** Which pods are enrolled, for the main process that follows. */
export function podsFile(runDir: string): string {
  return join(runDir, 'pods.json');
}
