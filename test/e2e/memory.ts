import { readFileSync } from 'node:fs';

import type { LabNode } from '../lab/node.ts';
import { waitUntil } from './helpers.ts';

const pageBytes = 4096;

/** Bytes that belong to the node's agent alone. */
export function memoryOf(node: LabNode): number {
  return node
    .agentPids()
    .map(anonymousMemory)
    .reduce((sum, bytes) => sum + bytes, 0);
}

/** What sockets of TCP hold, of the whole machine: the kernel counts it for all network namespaces together. */
export function kernelMemory(): number {
  return Number(/^TCP:.* mem (\d+)$/m.exec(readFileSync('/proc/net/sockstat', 'utf8'))?.[1]) * pageBytes;
}

export interface Growth<T> {
  readonly result: T;
  /** Of the agent that has grown most. */
  readonly bytes: number;
  readonly kernelBytes: number;
}

/** By how much agents grow meanwhile, at the most. */
export async function growth<T>(nodes: readonly LabNode[], run: () => Promise<T>): Promise<Growth<T>> {
  const before = nodes.map(memoryOf);
  const kernelBefore = kernelMemory();
  let bytes = 0;
  let kernelBytes = 0;
  const look = (): void => {
    bytes = Math.max(bytes, ...nodes.map((node, index) => memoryOf(node) - (before[index] ?? 0)));
    kernelBytes = Math.max(kernelBytes, kernelMemory() - kernelBefore);
  };
  const timer = setInterval(look, 100);
  try {
    const result = await run();
    look();
    return { result, bytes, kernelBytes };
  } finally {
    clearInterval(timer);
  }
}

/** Until it has not grown for a second. */
export async function settled(nodes: readonly LabNode[]): Promise<void> {
  const measure = (): number => nodes.reduce((sum, node) => sum + memoryOf(node), 0);
  let most = measure();
  let since = performance.now();
  const rests = (): boolean => {
    const now = measure();
    if (now > most * 1.01) {
      most = now;
      since = performance.now();
    }
    return performance.now() - since > 1000;
  };
  await waitUntil(rests, 30_000, 'nothing moves any more');
}

function anonymousMemory(pid: number): number {
  try {
    return 1024 * Number(/^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
  } catch {
    return 0; // it has ended
  }
}
