export interface VersionedDelta<Value> {
  /** What is not listed is gone. */
  readonly full: boolean;
  readonly upserts: readonly Value[];
  readonly removed: readonly string[];
}

const maximumTombstones = 1024;

/** A map that tells what has changed since a version. Who asks for more than the kept removals tell gets everything. */
export class VersionedMap<Value> {
  readonly #entries = new Map<string, { readonly value: Value; readonly version: number }>();
  readonly #removed = new Map<string, number>();
  /** The oldest version whose successors are all known. */
  #floor: number;

  constructor(version: number) {
    this.#floor = version;
  }

  get(key: string): Value | undefined {
    return this.#entries.get(key)?.value;
  }

  keys(): Iterable<string> {
    return this.#entries.keys();
  }

  set(key: string, value: Value, version: number): void {
    this.#entries.set(key, { value, version });
    this.#removed.delete(key);
  }

  delete(key: string, version: number): void {
    if (!this.#entries.delete(key)) return;
    this.#removed.set(key, version);
    if (this.#removed.size <= maximumTombstones) return;
    const [oldest] = this.#removed;
    if (oldest === undefined) return;
    this.#removed.delete(oldest[0]);
    this.#floor = oldest[1];
  }

  since(version: number): VersionedDelta<Value> {
    const full = version === 0 || version < this.#floor;
    const upserts: Value[] = [];
    for (const entry of this.#entries.values()) if (full || entry.version > version) upserts.push(entry.value);
    const removed = full ? [] : [...this.#removed].filter(([, at]) => at > version).map(([key]) => key);
    return { full, upserts, removed };
  }
}

export function isEmpty({ full, upserts, removed }: VersionedDelta<unknown>): boolean {
  return !full && upserts.length === 0 && removed.length === 0;
}
