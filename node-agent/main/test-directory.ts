import type { OwnWorkload } from '../../mesh/workload.ts';
import type { KnownWorkloads } from './pod-wishes.ts';

/** Of namespace shop, and wanted. */
export function workload(uid: string, fields: Partial<OwnWorkload> = {}): OwnWorkload {
  return {
    uid,
    namespace: 'shop',
    name: uid,
    node: 'n1',
    serviceAccount: 'default',
    owner: undefined,
    templateHash: '',
    identity: '',
    wanted: true,
    meshed: undefined,
    opaquePorts: [],
    skippedPorts: [],
    addresses: [],
    phase: 'Running',
    containerPorts: [8080],
    configuration: {},
    unwantedReason: '',
    ...fields,
  };
}

/** What a controller has told of this node. */
export class TestDirectory implements KnownWorkloads {
  readonly workloads = new Map<string, OwnWorkload>();
  readonly namespaces = new Map<string, { name: string; configuration: Record<string, string> }>();
  knowsWorkloads = true;
  isCurrent = true;
  isConnected = true;

  constructor(...workloads: OwnWorkload[]) {
    for (const one of workloads) this.workloads.set(one.uid, one);
  }

  optIn(name: string, configuration: Record<string, string> = {}): void {
    this.namespaces.set(name, { name, configuration });
  }
}
