interface Departure {
  readonly version: number;
  /** Whose agents may still believe that the workload is meshed. */
  readonly missing: Set<string>;
  readonly done: (missing: readonly string[]) => void;
  readonly deadline: NodeJS.Timeout;
}

/** Workloads that leave the mesh, until every subscriber knows it or the deadline has passed. */
export class Departures {
  readonly #deadlineMs: number;
  readonly #departures = new Map<string, Departure>();

  constructor(deadlineMs: number) {
    this.#deadlineMs = deadlineMs;
  }

  /** Another one of the same workload replaces the first. `done` gets the nodes that have not acknowledged. */
  start(uid: string, version: number, nodes: Iterable<string>, done: (missing: readonly string[]) => void): void {
    this.cancel(uid);
    const missing = new Set(nodes);
    if (missing.size === 0) {
      done([]);
      return;
    }
    const deadline = setTimeout(() => this.#finish(uid), this.#deadlineMs);
    this.#departures.set(uid, { version, missing, done, deadline });
  }

  acknowledged(node: string, version: number): void {
    for (const [uid, departure] of this.#departures) {
      if (departure.version <= version && departure.missing.delete(node) && departure.missing.size === 0)
        this.#finish(uid);
    }
  }

  /** It has joined again. */
  cancel(uid: string): void {
    clearTimeout(this.#departures.get(uid)?.deadline);
    this.#departures.delete(uid);
  }

  close(): void {
    for (const uid of [...this.#departures.keys()]) this.cancel(uid);
  }

  #finish(uid: string): void {
    const departure = this.#departures.get(uid);
    if (departure === undefined) return;
    this.cancel(uid);
    departure.done([...departure.missing]);
  }
}
