import { readFileSync, renameSync, writeFileSync } from 'node:fs';

import type { Lab } from './lab.ts';
import { labState } from './layout.ts';

/** What other processes have to know of a lab: its pods, and where to run something in them. */
export interface LabState {
  readonly pods: readonly PodState[];
}

export interface PodState {
  readonly name: string;
  readonly namespace: string;
  readonly node: string;
  readonly addresses: readonly string[];
  readonly netns: string;
  readonly cgroup: string;
}

export function writeState(lab: Lab): void {
  const pods = lab.nodes.flatMap((node) =>
    node.pods.map(({ spec: { name, namespace }, addresses, netns, cgroup }) => ({
      name,
      namespace,
      node: node.name,
      addresses,
      netns,
      cgroup,
    })),
  );
  const path = labState(lab.name);
  writeFileSync(`${path}.new`, JSON.stringify({ pods } satisfies LabState));
  renameSync(`${path}.new`, path);
}

/** Undefined where no lab of the name is up. */
export function readState(lab: string): LabState | undefined {
  try {
    return JSON.parse(readFileSync(labState(lab), 'utf8')) as LabState;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
