import type { DestinationDelta } from '../../../control-plane/gen/weft/v1/directory_pb.ts';
import type { Destination } from '../../../mesh/destination.ts';
import { addressKey } from '../../../mesh/service.ts';
import { applyDelta } from './messages.ts';

export interface KnownDestination {
  readonly key: string;
  readonly address: string;
  readonly port: number;
  /** Undefined until the directory has answered. */
  destination: Destination | undefined;
  version: number;
  usedAt: number;
}

export interface SavedDestination {
  readonly address: string;
  readonly port: number;
  readonly destination: Destination;
  readonly version: number;
}

/** What the pods of the node talk to, least recently used first. What nobody uses any more is dropped. */
export class KnownDestinations {
  readonly #maximum: number;
  readonly #idleMs: number;
  readonly #known = new Map<string, KnownDestination>();

  constructor(limits: { readonly maximum: number; readonly idleMs: number }) {
    this.#maximum = limits.maximum;
    this.#idleMs = limits.idleMs;
  }

  get size(): number {
    return this.#known.size;
  }

  values(): Iterable<KnownDestination> {
    return this.#known.values();
  }

  /** Marks it as used now. */
  use(address: string, port: number, now: number): KnownDestination | undefined {
    const known = this.#known.get(addressKey(address, port));
    if (known === undefined) return undefined;
    known.usedAt = now;
    this.#known.delete(known.key);
    this.#known.set(known.key, known);
    return known;
  }

  add(address: string, port: number, now: number): KnownDestination {
    const key = addressKey(address, port);
    const known = { key, address, port, destination: undefined, version: 0, usedAt: now };
    this.#known.set(key, known);
    return known;
  }

  restore(saved: SavedDestination, now: number): void {
    Object.assign(this.add(saved.address, saved.port, now), saved);
  }

  /** Undefined where it has been dropped meanwhile. */
  apply(delta: DestinationDelta): KnownDestination | undefined {
    const known = this.#known.get(addressKey(delta.key?.address ?? '', delta.key?.port ?? 0));
    if (known === undefined) return undefined;
    known.destination = applyDelta(known.destination, delta);
    known.version = Number(delta.version);
    return known;
  }

  /** Takes out what is idle or beyond the bound. */
  expire(now: number): KnownDestination[] {
    const expired: KnownDestination[] = [];
    for (const known of this.#known.values()) {
      if (this.#known.size <= this.#maximum && now - known.usedAt < this.#idleMs) break;
      this.#known.delete(known.key);
      expired.push(known);
    }
    return expired;
  }
}
