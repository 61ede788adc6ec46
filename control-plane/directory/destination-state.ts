import { create } from '@bufbuild/protobuf';

import type { Destination } from '../../mesh/destination.ts';
import { sameHead } from '../../mesh/destination.ts';
import type { Endpoint } from '../../mesh/service.ts';
import { sameEndpoint } from '../../mesh/service.ts';
import type { DestinationDelta } from '../gen/weft/v1/directory_pb.ts';
import { DestinationDeltaSchema } from '../gen/weft/v1/directory_pb.ts';
import { endpointMessage, serviceMessage, workloadMessage } from './messages.ts';
import type { NodeSession } from './node-session.ts';
import { VersionedMap } from './versioned-map.ts';

/** A destination that somebody is subscribed to. */
export class DestinationState {
  readonly key: string;
  readonly address: string;
  readonly port: number;
  readonly subscribers = new Set<NodeSession>();
  #current: Destination;
  #version: number;
  #endpoints: VersionedMap<Endpoint>;
  /** By the version that they start from: most subscribers ask for the same. */
  readonly #messages = new Map<number, DestinationDelta>();

  constructor(key: string, address: string, port: number, destination: Destination, version: number) {
    this.key = key;
    this.address = address;
    this.port = port;
    this.#current = destination;
    this.#version = version;
    this.#endpoints = endpointsFrom(destination, version);
  }

  get version(): number {
    return this.#version;
  }

  /** @returns whether it is another than before */
  update(destination: Destination, version: number): boolean {
    const before = this.#current;
    let changed = !sameHead(before, destination);
    this.#current = destination;
    if (before.kind === 'service' && destination.kind === 'service') {
      changed = this.#updateEndpoints(destination.endpoints, version) || changed;
    } else if (changed) {
      this.#endpoints = endpointsFrom(destination, version);
    }
    if (!changed) return false;
    this.#version = version;
    this.#messages.clear();
    return true;
  }

  /** Undefined where nothing has changed since. */
  messageSince(version: number): DestinationDelta | undefined {
    if (version !== 0 && version >= this.#version) return undefined;
    const known = this.#messages.get(version);
    if (known !== undefined) return known;
    const { full, upserts, removed } = this.#endpoints.since(version);
    const message = create(DestinationDeltaSchema, {
      key: { address: this.address, port: this.port },
      version: BigInt(this.#version),
      destination: this.#head(),
      ...(this.#current.kind === 'workload' && this.#current.target && { target: this.#current.target }),
      full,
      upserts: upserts.map(endpointMessage),
      removedEndpoints: removed.map(splitKey),
    });
    this.#messages.set(version, message);
    return message;
  }

  #head(): NonNullable<Parameters<typeof create<typeof DestinationDeltaSchema>>[1]>['destination'] & object {
    const destination = this.#current;
    switch (destination.kind) {
      case 'unknown':
        return { case: 'unknown', value: {} };
      case 'external':
        return { case: 'external', value: {} };
      case 'workload':
        return { case: 'workload', value: workloadMessage(destination.workload) };
      case 'service':
        return { case: 'service', value: serviceMessage(destination.service) };
    }
  }

  #updateEndpoints(endpoints: ReadonlyMap<string, Endpoint>, version: number): boolean {
    let changed = false;
    for (const key of [...this.#endpoints.keys()]) {
      if (endpoints.has(key)) continue;
      this.#endpoints.delete(key, version);
      changed = true;
    }
    for (const [key, endpoint] of endpoints) {
      const known = this.#endpoints.get(key);
      if (known !== undefined && sameEndpoint(known, endpoint)) continue;
      this.#endpoints.set(key, endpoint, version);
      changed = true;
    }
    return changed;
  }
}

function endpointsFrom(destination: Destination, version: number): VersionedMap<Endpoint> {
  const endpoints = new VersionedMap<Endpoint>(version);
  if (destination.kind !== 'service') return endpoints;
  for (const [key, endpoint] of destination.endpoints) endpoints.set(key, endpoint, version);
  return endpoints;
}

function splitKey(key: string): { address: string; port: number } {
  const colon = key.lastIndexOf(':');
  return { address: key.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(key.slice(colon + 1)) };
}
