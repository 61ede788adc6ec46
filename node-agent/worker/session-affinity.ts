import type { Address } from '../../mesh/address.ts';
import type { Endpoint } from './destinations.ts';

/**
 * Leads a client to the same endpoint for as long as that is there, by rendezvous hashing: of all endpoints the one that weighs most for this
 * client. Nothing is remembered, so all workers of the node agree, as do those of the agent before and after this one; and when an
 * endpoint goes, only its own clients go elsewhere. A time after which kube-proxy may choose anew therefore changes nothing here.
 */
export class SessionAffinity {
  readonly #endpoints: readonly Endpoint[];
  readonly #hashes: Uint32Array;

  constructor(endpoints: readonly Endpoint[]) {
    this.#endpoints = endpoints;
    this.#hashes = Uint32Array.from(endpoints, ({ address, port }) => mix(hashOf(address) ^ port));
  }

  /** Undefined where there are no endpoints. */
  endpointOf(client: Address): Endpoint | undefined {
    const hash = hashOf(client);
    let chosen = 0;
    let most = -1;
    for (let index = 0; index < this.#hashes.length; index++) {
      const weight = mix(hash ^ (this.#hashes[index] ?? 0));
      if (weight <= most) continue;
      most = weight;
      chosen = index;
    }
    return this.#endpoints[chosen];
  }
}

/** FNV-1a */
function hashOf(address: Address): number {
  let hash = 0x811c9dc5;
  for (const byte of address) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash;
}

/** The finalizer of MurmurHash3: each bit of the input changes half of the output's. */
function mix(value: number): number {
  let hash = value;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
