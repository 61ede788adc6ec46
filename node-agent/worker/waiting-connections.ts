import type { Direction } from './messages.ts';
import type { WorkerPod } from './pods.ts';
import type { InboundConnection } from './inbound.ts';
import type { Key } from './destinations.ts';

const maximumWaiting = 4096;

/** A connection that the engine holds until main has answered. */
export interface WaitingConnection extends InboundConnection {
  readonly pod: WorkerPod;
  readonly direction: Direction;
}

/** By what they wait for. The engine ends who waits too long, so nothing stays here for ever: see forget(). */
export class WaitingConnections {
  readonly #byKey = new Map<Key, Map<number, WaitingConnection>>();
  readonly #keys = new Map<number, Key>();

  /** Undefined where already as many wait as may: then the connection is refused. Else whether it is the first one to wait. */
  add(connection: WaitingConnection, key: Key): 'first' | 'joined' | undefined {
    if (this.#keys.size >= maximumWaiting) return undefined;
    this.#keys.set(connection.id, key);
    const others = this.#byKey.get(key);
    if (others !== undefined) {
      others.set(connection.id, connection);
      return 'joined';
    }
    this.#byKey.set(key, new Map([[connection.id, connection]]));
    return 'first';
  }

  has(key: Key): boolean {
    return this.#byKey.has(key);
  }

  /** All who wait for this; they wait no more. */
  take(key: Key): WaitingConnection[] {
    const connections = [...(this.#byKey.get(key)?.values() ?? [])];
    this.#byKey.delete(key);
    for (const { id } of connections) this.#keys.delete(id);
    return connections;
  }

  /** A connection that has ended. Undefined where it did not wait. */
  forget(id: number): WaitingConnection | undefined {
    const key = this.#keys.get(id);
    if (key === undefined) return undefined;
    this.#keys.delete(id);
    const others = this.#byKey.get(key);
    const connection = others?.get(id);
    others?.delete(id);
    if (others?.size === 0) this.#byKey.delete(key);
    return connection;
  }
}
