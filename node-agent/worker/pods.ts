import type { Address } from '../../mesh/address.ts';

/** What a worker knows of a pod whose connections it carries. */
export interface WorkerPod {
  readonly id: number;
  readonly ipv4: Address;
  readonly ipv6: Address;
  /** Of the agent's listeners in the pod. */
  readonly listenerPort: number;
  /** For people; empty until main has told them. */
  namespace: string;
  name: string;
  connections: number;
  released: boolean;
}

const none = new Uint8Array(16);

/** Main's messages and the broker's listeners come in any order, and a pod stays known until its last connection has ended. */
export class WorkerPods {
  readonly #byId = new Map<number, WorkerPod>();

  get(id: number): WorkerPod | undefined {
    return this.#byId.get(id);
  }

  listen(id: number, listenerPort: number, ipv4: Address, ipv6: Address): void {
    const { namespace = '', name = '', connections = 0 } = this.#byId.get(id) ?? {};
    this.#byId.set(id, { id, ipv4, ipv6, listenerPort, namespace, name, connections, released: false });
  }

  describe(id: number, namespace: string, name: string): void {
    const pod = this.#byId.get(id);
    if (pod === undefined) {
      this.#byId.set(id, {
        id,
        ipv4: none,
        ipv6: none,
        listenerPort: 0,
        namespace,
        name,
        connections: 0,
        released: false,
      });
      return;
    }
    pod.namespace = namespace;
    pod.name = name;
    pod.released = false;
  }

  /** Forgets released pods without connections. Returns whether the pod is gone now. */
  forgetIfDrained(pod: WorkerPod): boolean {
    if (!pod.released || pod.connections > 0) return false;
    this.#byId.delete(pod.id);
    return true;
  }
}
