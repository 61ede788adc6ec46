import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';

import type { LabPod } from './pod.ts';

export interface NamespaceSpec {
  readonly name: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** The lab's stand-in for an API server: one manifest per object, replaced atomically. */
export class LabObjects {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
    mkdirSync(folder, { recursive: true });
  }

  setNamespace(spec: NamespaceSpec): void {
    this.#write(`namespace-${spec.name}`, { apiVersion: 'v1', kind: 'Namespace', metadata: { ...spec } });
  }

  /** Of any other kind, as it is. */
  setObject(name: string, object: unknown): void {
    this.#write(name, object);
  }

  setPod(pod: LabPod, changes: { labels?: Record<string, string>; annotations?: Record<string, string> } = {}): void {
    const {
      name,
      namespace,
      labels = {},
      annotations = {},
      serviceAccount = 'default',
      hostNetwork = false,
      containers = [{ name: 'main' }],
    } = pod.spec;
    const running = pod.addresses.length > 0;
    this.#write(`pod-${pod.uid}`, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        name,
        namespace,
        uid: pod.uid,
        labels: { ...labels, ...changes.labels },
        annotations: { ...annotations, ...changes.annotations },
      },
      spec: { nodeName: pod.node.name, serviceAccountName: serviceAccount, hostNetwork, containers },
      status: {
        phase: running ? 'Running' : 'Pending',
        ...(running && { podIP: pod.addresses[0], podIPs: pod.addresses.map((ip) => ({ ip })) }),
      },
    });
  }

  deletePod(pod: LabPod): void {
    rmSync(join(this.folder, `pod-${pod.uid}.yaml`), { force: true });
  }

  #write(name: string, object: unknown): void {
    const temporary = join(this.folder, `.${name}`);
    writeFileSync(temporary, stringify(object));
    renameSync(temporary, join(this.folder, `${name}.yaml`));
  }
}
