import { create } from '@bufbuild/protobuf';

import { WeftError } from '../../mesh/errors.ts';
import { Wakeup } from '../../mesh/wakeup.ts';
import type { OptedInNamespace } from '../../mesh/namespace.ts';
import type { Workload } from '../../mesh/workload.ts';
import type { ConnectResponse, DestinationDelta, Left } from '../gen/weft/v1/directory_pb.ts';
import { ConnectResponseSchema } from '../gen/weft/v1/directory_pb.ts';
import type { DestinationState } from './destination-state.ts';
import { namespacesMessage, ownWorkloadMessage } from './messages.ts';
import { VersionedMap, isEmpty } from './versioned-map.ts';

export interface SessionLimits {
  /** Updates on their way: more would only fill the buffers in front of a slow agent. */
  readonly unacknowledgedUpdates: number;
  readonly acknowledgeMs: number;
  /** Changes within this time are told together. */
  readonly coalesceMs: number;
  readonly streamAgeMs: number;
}

const endpointsPerMessage = 1000;

/**
 * What one node's agent is told. Nothing is queued: pending is the set of what has changed, and what to send is computed when there is
 * room for it. It outlives the stream for a while, so that an agent that comes back resumes.
 */
export class NodeSession {
  readonly node: string;
  readonly workloads: VersionedMap<Workload>;
  readonly #namespaces: VersionedMap<OptedInNamespace>;
  readonly wakeup = new Wakeup();
  /** With the version that the agent has. */
  readonly #subscriptions = new Map<DestinationState, number>();
  readonly #pending = new Set<DestinationState>();
  readonly #left: Left[] = [];
  readonly #unacknowledged: { readonly version: number; readonly sentAt: number }[] = [];
  #workloadsVersion = 0;
  #workloadsChanged = true;
  #trustChanged = true;

  constructor(
    node: string,
    workloads: Iterable<Workload>,
    namespaces: VersionedMap<OptedInNamespace>,
    version: number,
  ) {
    this.node = node;
    this.#namespaces = namespaces;
    this.workloads = new VersionedMap(version);
    for (const workload of workloads) this.workloads.set(workload.uid, workload, version);
  }

  get subscriptions(): ReadonlyMap<DestinationState, number> {
    return this.#subscriptions;
  }

  /** A new stream, whose agent has its workloads up to the version. */
  resume(workloadsVersion: number): void {
    this.#unacknowledged.length = 0;
    this.#workloadsVersion = workloadsVersion;
    this.#workloadsChanged = true;
    this.#trustChanged = true;
  }

  subscribe(state: DestinationState, version: number): void {
    state.subscribers.add(this);
    this.#subscriptions.set(state, version);
    this.markDestination(state);
  }

  unsubscribe(state: DestinationState): void {
    state.subscribers.delete(this);
    this.#subscriptions.delete(state);
    this.#pending.delete(state);
  }

  markDestination(state: DestinationState): void {
    this.#pending.add(state);
    this.wakeup.call();
  }

  markWorkloads(): void {
    this.#workloadsChanged = true;
    this.wakeup.call();
  }

  markTrust(): void {
    this.#trustChanged = true;
    this.wakeup.call();
  }

  /** How many the agent has not read yet. */
  get untoldLeft(): number {
    return this.#left.length;
  }

  tellLeft(left: Left): void {
    this.#left.push(left);
    this.wakeup.call();
  }

  acknowledge(version: number): void {
    while ((this.#unacknowledged[0]?.version ?? Infinity) <= version) this.#unacknowledged.shift();
    this.wakeup.call();
  }

  /** @throws WeftError WEFT-E304, WEFT-E308 */
  async *responses(
    currentVersion: () => number,
    trust: () => ConnectResponse | undefined,
    limits: SessionLimits,
    signal: AbortSignal,
  ): AsyncGenerator<ConnectResponse> {
    const endsAt = performance.now() + limits.streamAgeMs * (0.9 + Math.random() / 5);
    while (!signal.aborted) {
      const now = performance.now();
      if (now >= endsAt) throw new WeftError('WEFT-E308', `the stream of node ${this.node} has reached its age`);
      const oldest = this.#unacknowledged[0];
      if (oldest !== undefined && now - oldest.sentAt >= limits.acknowledgeMs)
        throw new WeftError('WEFT-E304', `node ${this.node} has not acknowledged for ${limits.acknowledgeMs} ms`);
      if (this.#trustChanged) {
        this.#trustChanged = false;
        const message = trust();
        if (message !== undefined) yield message;
      }
      yield* this.#left.splice(0).map((left) => response({ case: 'left', value: left }));
      if (this.#unacknowledged.length < limits.unacknowledgedUpdates && this.#hasNews()) {
        yield* this.#update(currentVersion());
        await pause(limits.coalesceMs);
      } else {
        const ackDue = oldest === undefined ? Infinity : oldest.sentAt + limits.acknowledgeMs;
        await this.wakeup.wait(signal, Math.max(1, Math.min(endsAt, ackDue) - now));
      }
    }
  }

  #hasNews(): boolean {
    return this.#workloadsChanged || this.#pending.size > 0;
  }

  /** All that is pending, in messages of bounded size, of which the last bears the version. */
  *#update(version: number): Generator<ConnectResponse> {
    const deltas: DestinationDelta[] = [];
    for (const state of this.#pending) {
      const delta = state.messageSince(this.#subscriptions.get(state) ?? 0);
      if (delta !== undefined) deltas.push(delta);
      this.#subscriptions.set(state, state.version); // and not the model's, so that subscribers share messages
    }
    this.#pending.clear();
    const workloads = this.#workloadsDelta(version);
    this.#unacknowledged.push({ version, sentAt: performance.now() });
    let part: DestinationDelta[] = [];
    let size = 0;
    for (const delta of deltas) {
      if (size > endpointsPerMessage) {
        yield response({ case: 'update', value: { version: 0n, destinations: part } });
        part = [];
        size = 0;
      }
      part.push(delta);
      size += 1 + delta.upserts.length + delta.removedEndpoints.length;
    }
    yield response({ case: 'update', value: { version: BigInt(version), destinations: part, ...workloads } });
  }

  #workloadsDelta(version: number): object {
    if (!this.#workloadsChanged) return {};
    const own = this.workloads.since(this.#workloadsVersion);
    const namespaces = this.#namespaces.since(this.#workloadsVersion);
    this.#workloadsVersion = version;
    this.#workloadsChanged = false;
    if (isEmpty(own) && isEmpty(namespaces)) return {};
    const workloads = {
      version: BigInt(version),
      full: own.full,
      upserts: own.upserts.map(ownWorkloadMessage),
      removedUids: [...own.removed],
      ...(!isEmpty(namespaces) && { namespaces: namespacesMessage(namespaces) }),
    };
    return { workloads };
  }
}

export function response(
  message: NonNullable<Parameters<typeof create<typeof ConnectResponseSchema>>[1]>['message'] & object,
): ConnectResponse {
  return create(ConnectResponseSchema, { message });
}

async function pause(milliseconds: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, milliseconds));
}
