import type { Address } from '../../mesh/address.ts';
import { defaultOpaquePorts } from '../../mesh/opaque-ports.ts';
import type { PortRange } from '../../mesh/skips.ts';

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
  /** Number of its identity's name; 0 until main has told. */
  identity: number;
  opaquePorts: readonly PortRange[];
  /** performance.now() of when its traffic first came here. */
  readonly joinedAt: number;
  connections: number;
  released: boolean;
}

export type PodDescription = Pick<WorkerPod, 'namespace' | 'name' | 'identity' | 'opaquePorts'>;

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
    this.#byId.set(id, { ...(this.#byId.get(id) ?? this.#unknown(id)), ipv4, ipv6, listenerPort, released: false });
  }

  describe(id: number, description: PodDescription): void {
    this.#byId.set(id, { ...(this.#byId.get(id) ?? this.#unknown(id)), ...description, released: false });
  }

  #unknown(id: number): WorkerPod {
    return {
      id,
      ipv4: none,
      ipv6: none,
      listenerPort: 0,
      namespace: '',
      name: '',
      identity: 0,
      opaquePorts: defaultOpaquePorts,
      joinedAt: this.#now(),
      connections: 0,
      released: false,
    };
  }

  /** Forgets released pods without connections. Returns whether the pod is gone now. */
  forgetIfDrained(pod: WorkerPod): boolean {
    if (!pod.released || pod.connections > 0) return false;
    this.#byId.delete(pod.id);
    return true;
  }
}
