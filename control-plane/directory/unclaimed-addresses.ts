export interface UnclaimedOptions {
  /** For so long an object that has the address may be under way. */
  readonly graceMs: number;
  /** Whether an object would be heard of; where it would not, nobody's silence means anything. */
  readonly isHeard: () => boolean;
  readonly onUnclaimed: (address: string) => void;
}

const mostFormer = 100_000;

/**
 * Addresses inside the cluster's networks that no object has: hosts that share private networks with the cluster, such as databases. A
 * new pod may be dialled before its object has its address, so an address is nobody's only after a time. One that a pod has had is
 * never: it may be another pod's at any moment, and who dials it may not have heard that the first one has gone.
 */
export class UnclaimedAddresses {
  readonly #options: UnclaimedOptions;
  readonly #unclaimed = new Set<string>();
  readonly #waiting = new Map<string, NodeJS.Timeout>();
  readonly #former = new Set<string>();

  constructor(options: UnclaimedOptions) {
    this.#options = options;
  }

  has(address: string): boolean {
    return this.#unclaimed.has(address);
  }

  /** Somebody asks for it, and no object has it. */
  ask(address: string): void {
    if (this.#unclaimed.has(address) || this.#waiting.has(address) || this.#former.has(address)) return;
    this.#wait(address);
  }

  /** A pod has it, or has had it until now. */
  claimed(address: string): void {
    this.forget(address);
    this.#former.delete(address); // and in again, as the newest
    this.#former.add(address);
    if (this.#former.size <= mostFormer) return;
    for (const oldest of this.#former) {
      this.#former.delete(oldest);
      return;
    }
  }

  /** Nobody asks for it any more, or it leads somewhere. */
  forget(address: string): void {
    this.#unclaimed.delete(address);
    clearTimeout(this.#waiting.get(address));
    this.#waiting.delete(address);
  }

  close(): void {
    for (const timer of this.#waiting.values()) clearTimeout(timer);
    this.#waiting.clear();
  }

  #wait(address: string): void {
    const { graceMs, isHeard, onUnclaimed } = this.#options;
    const end = (): void => {
      if (!isHeard()) {
        this.#wait(address);
        return;
      }
      this.#waiting.delete(address);
      this.#unclaimed.add(address);
      onUnclaimed(address);
    };
    this.#waiting.set(address, setTimeout(end, graceMs));
  }
}
