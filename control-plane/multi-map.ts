/** A map from a key to a set of values; a key without values takes no memory. */
export class MultiMap<Key, Value> {
  readonly #sets = new Map<Key, Set<Value>>();

  add(key: Key, value: Value): void {
    const set = this.#sets.get(key);
    if (set === undefined) this.#sets.set(key, new Set([value]));
    else set.add(value);
  }

  delete(key: Key, value: Value): void {
    const set = this.#sets.get(key);
    if (set?.delete(value) === true && set.size === 0) this.#sets.delete(key);
  }

  get(key: Key): ReadonlySet<Value> {
    return this.#sets.get(key) ?? nothing;
  }
}

const nothing: ReadonlySet<never> = new Set();
