import type { Address } from '../../mesh/address.ts';
import { isIPv4, isInNetwork } from '../../mesh/address.ts';
import { includesPort, defaultOpaquePorts } from '../../mesh/opaque-ports.ts';
import type { Owner } from '../../mesh/owner.ts';
import type { PortRange, Subnet } from '../../mesh/skips.ts';

/** What a worker knows of a pod whose connections it carries. */
export interface WorkerPod {
  readonly id: number;
  ipv4: Address;
  ipv6: Address;
  /** Of the agent's listeners in the pod. */
  listenerPort: number;
  /** For people; empty until main has told them. */
  namespace: string;
  name: string;
  owner: Owner | undefined;
  /** Empty and 0 until main has told; the number is the engine's for the name. */
  identityName: string;
  identity: number;
  opaquePorts: readonly PortRange[];
  /** What the kernel programs leave to the app: connections to these ports, and from these clients. */
  skippedPorts: readonly PortRange[];
  skippedClients: readonly Subnet[];
  /** Since when peers know it as meshed (performance.now()); undefined: they do not. */
  announcedAt: number | undefined;
  connections: number;
  /** It is not captured any more, and peers know. */
  hasLeft: boolean;
  /** Nothing of it is on its way to us any more. */
  released: boolean;
}

export type PodDescription = Pick<
  WorkerPod,
  'namespace' | 'name' | 'owner' | 'identityName' | 'identity' | 'opaquePorts' | 'skippedPorts' | 'skippedClients'
>;

const none = new Uint8Array(16);

/** Main's messages and the broker's listeners come in any order, and a pod stays known until its last connection has ended. */
export class WorkerPods {
  readonly #byId = new Map<number, WorkerPod>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  get(id: number): WorkerPod | undefined {
    return this.#byId.get(id);
  }

  listen(id: number, listenerPort: number, ipv4: Address, ipv6: Address): void {
    Object.assign(this.#find(id), { ipv4, ipv6, listenerPort, hasLeft: false, released: false });
  }

  describe(id: number, description: PodDescription): void {
    Object.assign(this.#find(id), description, { hasLeft: false, released: false });
  }

  announce(id: number, announcedMs: number | undefined): void {
    const pod = this.#byId.get(id);
    if (pod !== undefined) pod.announcedAt = announcedMs === undefined ? undefined : this.#now() - announcedMs;
  }

  leave(id: number): void {
    const pod = this.#byId.get(id);
    if (pod !== undefined) pod.hasLeft = true;
  }

  /** Who waits for a decision holds on to the object, so it stays the same. */
  #find(id: number): WorkerPod {
    const known = this.#byId.get(id);
    if (known !== undefined) return known;
    const pod: WorkerPod = {
      id,
      ipv4: none,
      ipv6: none,
      listenerPort: 0,
      namespace: '',
      name: '',
      owner: undefined,
      identityName: '',
      identity: 0,
      opaquePorts: defaultOpaquePorts,
      skippedPorts: [],
      skippedClients: [],
      announcedAt: undefined,
      connections: 0,
      hasLeft: false,
      released: false,
    };
    this.#byId.set(id, pod);
    return pod;
  }

  /** Forgets released pods without connections. Returns whether the pod is gone now. */
  forgetIfDrained(pod: WorkerPod): boolean {
    if (!pod.released || pod.connections > 0) return false;
    this.#byId.delete(pod.id);
    return true;
  }
}

/** Whether what `client` dials there comes to an agent's listener in the pod that has the address. */
export function isCaptured(
  { address, port }: { readonly address: Address; readonly port: number },
  client: WorkerPod,
  server: WorkerPod,
): boolean {
  if (client === server || includesPort(server.skippedPorts, port)) return false;
  const source = isIPv4(address) ? client.ipv4 : client.ipv6;
  return !server.skippedClients.some(([subnet, prefixLength]) =>
    isInNetwork({ address: subnet, prefixLength }, source),
  );
}
