import { statSync, statfsSync } from 'node:fs';
import { dirname } from 'node:path';

import { Gauge } from 'prom-client';

import type { AnyRegistry } from '../../admin/registries.ts';
import type { ForeignProgram } from '../../native/capture.d.ts';
import type { PodTrouble } from '../main/reconciler.ts';

/** What the agent finds on its node. `weft check` and alerts read it. */
export interface NodeFacts {
  readonly features: Readonly<Record<KernelFeature, boolean>>;
  readonly foreignPrograms: readonly ForeignProgram[];
  readonly notMeshable: readonly PodTrouble[];
}

export type KernelFeature = 'btf' | 'bpffs' | 'cgroup2';

/** statfs(2) */
const bpfMagic = 0xcafe4a11;
const cgroup2Magic = 0x63677270;

export function kernelFeatures(folders: { readonly pinDir: string; readonly cgroup: string }): NodeFacts['features'] {
  return {
    btf: exists('/sys/kernel/btf/vmlinux'),
    bpffs: isOn(folders.pinDir, bpfMagic) || isOn(dirname(folders.pinDir), bpfMagic), // the folder is made later
    cgroup2: isOn(folders.cgroup, cgroup2Magic),
  };
}

/** @param facts asked at every scrape */
export function addNodeFamilies(registry: AnyRegistry, facts: () => NodeFacts): void {
  const registers = [registry];
  new Gauge({
    name: 'weft_node_feature',
    help: 'Whether the kernel has what the capture needs: 1 or 0.',
    labelNames: ['feature'],
    registers,
    collect() {
      for (const [feature, isThere] of Object.entries(facts().features)) this.set({ feature }, isThere ? 1 : 0);
    },
  });
  new Gauge({
    name: 'weft_foreign_programs',
    help: 'eBPF programs of others that may translate connections of pods.',
    registers,
    collect() {
      this.set(facts().foreignPrograms.length);
    },
  });
  new Gauge({
    name: 'weft_foreign_program_info',
    help: 'An eBPF program of others that may translate connections of pods.',
    labelNames: ['name', 'id', 'attach_type', 'cgroup'],
    registers,
    collect() {
      this.reset();
      for (const { name, id, attachType, cgroup } of facts().foreignPrograms)
        this.set({ name, id: String(id), attach_type: attachType, cgroup }, 1);
    },
  });
  new Gauge({
    name: 'weft_pod_not_meshable',
    help: 'A pod that is to be in the mesh and is not, or whose traffic is dropped, by the code of the reason.',
    labelNames: ['namespace', 'pod', 'code'],
    registers,
    collect() {
      this.reset();
      for (const { pod, error } of facts().notMeshable) {
        const [namespace = '', name = ''] = pod.split('/');
        this.set({ namespace, pod: name, code: error.code }, 1);
      }
    },
  });
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

function isOn(folder: string, magic: number): boolean {
  try {
    return statfsSync(folder).type === magic;
  } catch {
    return false;
  }
}
