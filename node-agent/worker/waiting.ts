import type { Key } from './destinations.ts';

const maximumWaiting = 4096;

/**
 * What the engine holds until main has answered (connections, requests), by what it waits for. The engine ends what waits too long, so
 * nothing stays here for ever: see forget().
 */
export class Waiting<Entry extends { readonly id: number }> {
  readonly #byKey = new Map<Key, Map<number, Entry>>();
  readonly #keys = new Map<number, Key>();

  /** Undefined where already as many wait as may: then it is refused. Else whether it is the first one to wait. */
  add(entry: Entry, key: Key): 'first' | 'joined' | undefined {
    if (this.#keys.size >= maximumWaiting) return undefined;
    this.#keys.set(entry.id, key);
    const others = this.#byKey.get(key);
    if (others !== undefined) {
      others.set(entry.id, entry);
      return 'joined';
    }
    this.#byKey.set(key, new Map([[entry.id, entry]]));
    return 'first';
  }

  has(key: Key): boolean {
    return this.#byKey.has(key);
  }

  /** All that wait for this; they wait no more. */
  take(key: Key): Entry[] {
    const entries = [...(this.#byKey.get(key)?.values() ?? [])];
    this.#byKey.delete(key);
    for (const { id } of entries) this.#keys.delete(id);
    return entries;
  }

  /** One that has ended. Undefined where it did not wait. */
  forget(id: number): Entry | undefined {
    const key = this.#keys.get(id);
    if (key === undefined) return undefined;
    this.#keys.delete(id);
    const others = this.#byKey.get(key);
    const entry = others?.get(id);
    others?.delete(id);
    if (others?.size === 0) this.#byKey.delete(key);
    return entry;
  }
}
