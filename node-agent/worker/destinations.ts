import type { Address } from '../../mesh/address.ts';
import { formatAddress, ipv4Number, isIPv4, parseAddress } from '../../mesh/address.ts';
import type { Protocol } from '../../mesh/protocol.ts';
import type { DestinationMessage, EndpointMessage, EndpointNames, ServiceName } from './messages.ts';
import { SessionAffinity } from './session-affinity.ts';

/** One place where a connection can go to, with all that a decision needs of it at hand. */
export interface Endpoint {
  readonly address: Address;
  readonly port: number;
  /** Undefined while nobody has said. */
  readonly meshed: boolean | undefined;
  /** Number of its identity's name. */
  readonly identity: number;
  /** Different for each pod that ever had the address. */
  readonly workload: number;
  /** Of this node's enrolled pods; 0: it runs elsewhere. */
  readonly localPod: number;
  readonly names?: EndpointNames;
  /** By which it is reached. */
  readonly service?: ServiceName;
}

export type Destination =
  | { readonly kind: 'unknown' }
  | { readonly kind: 'external'; readonly protocol: Protocol }
  | {
      readonly kind: 'endpoints';
      readonly protocol: Protocol;
      readonly endpoints: readonly Endpoint[];
      /** Present where it is the client that decides on its endpoint. */
      readonly affinity?: SessionAffinity;
      readonly service?: ServiceName;
      /** When it has begun or ceased to be meshed, or was to be (performance.now()); absent where that is long past. */
      readonly changedAt?: number;
    };

/** Numbers and strings are never equal, so both can be keys of one map; the number costs no allocation. */
export type Key = number | string;

/** A place that is looked up again and again: see Destinations.find(). */
export class Lookup {
  readonly key: Key;
  found: Destination | undefined;
  /** Of what was found; -1: nothing was looked for. */
  version = -1;

  constructor(key: Key) {
    this.key = key;
  }
}

/** Of pods that ever were: nobody tells when one is gone for good. */
const maximumWorkloads = 65_536;

/** What main has told of the addresses that this node's pods talk to. Each look-up is one of a map. */
export class Destinations {
  readonly #intern: (name: string) => number;
  readonly #byKey = new Map<Key, Destination>();
  readonly #workloads = new Map<string, number>();
  #lastWorkload = 0;
  /** Another one whenever main has told something. */
  #version = 0;

  /** @param intern gives names the numbers that the engine knows them by */
  constructor(intern: (name: string) => number) {
    this.#intern = intern;
  }

  /** Port 0 stands for the address itself: who it is, as a source. Undefined: main has not been asked. */
  get(address: Address, port: number): Destination | undefined {
    return this.#byKey.get(keyOf(address, port));
  }

  /** As get(), but the map is asked only where something has been told since. */
  find(lookup: Lookup): Destination | undefined {
    if (lookup.version !== this.#version) {
      lookup.found = this.#byKey.get(lookup.key);
      lookup.version = this.#version;
    }
    return lookup.found;
  }

  set({ address, port, destination }: DestinationMessage): Destination {
    const compiled = this.#compileDestination(destination);
    this.#byKey.set(keyOf(parseAddress(address), port), compiled);
    this.#version++;
    return compiled;
  }

  forget(address: string, port: number): void {
    this.#byKey.delete(keyOf(parseAddress(address), port));
    this.#version++;
  }

  #compileDestination(destination: DestinationMessage['destination']): Destination {
    if (destination.kind !== 'endpoints') return destination;
    const { protocol, changedMs, service, sessionAffinity = false } = destination;
    const endpoints = destination.endpoints.map((endpoint) => this.#compile(endpoint, service));
    return {
      kind: 'endpoints',
      protocol,
      endpoints,
      ...(sessionAffinity && { affinity: new SessionAffinity(endpoints) }),
      ...(service !== undefined && { service }),
      ...(changedMs !== undefined && { changedAt: performance.now() - changedMs }),
    };
  }

  #compile(
    { address, port, meshed, identity, uid, localPod, names }: EndpointMessage,
    service?: ServiceName,
  ): Endpoint {
    return {
      address: parseAddress(address),
      port,
      meshed,
      identity: this.#intern(identity),
      workload: this.#numberOf(uid),
      localPod,
      ...(names !== undefined && { names }),
      ...(service !== undefined && { service }),
    };
  }

  #numberOf(uid: string): number {
    const known = this.#workloads.get(uid);
    if (known !== undefined) return known;
    if (this.#workloads.size >= maximumWorkloads) this.#workloads.clear(); // by another number it costs but a tunnel more
    this.#workloads.set(uid, ++this.#lastWorkload);
    return this.#lastWorkload;
  }
}

export function keyOf(address: Address, port: number): Key {
  if (!isIPv4(address)) return `${formatAddress(address)} ${port}`;
  return ipv4Number(address) * 65536 + port; // below 2^48: exact
}
