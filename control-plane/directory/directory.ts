import { randomUUID } from 'node:crypto';

import { create } from '@bufbuild/protobuf';

import type { Network } from '../../mesh/address.ts';
import { formatAddress, parseAddress } from '../../mesh/address.ts';
import type { Destination } from '../../mesh/destination.ts';
import { lookUp } from '../../mesh/destination.ts';
import { WeftError } from '../../mesh/errors.ts';
import type { OptedInNamespace } from '../../mesh/namespace.ts';
import { addressKey } from '../../mesh/service.ts';
import type { Workload } from '../../mesh/workload.ts';
import type { ConnectRequest, ConnectResponse, Hello, Report } from '../gen/weft/v1/directory_pb.ts';
import { LeftSchema } from '../gen/weft/v1/directory_pb.ts';
import type { Troubles } from '../events/troubles.ts';
import type { Model, ModelChange } from '../model.ts';
import { MultiMap } from '../multi-map.ts';
import { Departures } from './departures.ts';
import { DestinationState } from './destination-state.ts';
import type { SessionLimits } from './node-session.ts';
import { NodeSession, response } from './node-session.ts';
import { UnclaimedAddresses } from './unclaimed-addresses.ts';
import { VersionedMap } from './versioned-map.ts';

export interface DirectoryOptions {
  readonly model: Model;
  readonly clusterNetworks: readonly Network[];
  /** Asked whenever an agent is told; absent where nobody is certified. */
  readonly trust?: () => TrustBundle;
  /** Where agents' words on their pods are kept; absent where nobody reads them. */
  readonly troubles?: Pick<Troubles, 'replace' | 'set' | 'forget'>;
  readonly limits?: Partial<DirectoryLimits>;
  /** Whether the model hears of new objects at the moment; absent where it always does. */
  readonly isHeard?: () => boolean;
}

export interface TrustBundle {
  /** DER. */
  readonly anchors: readonly Uint8Array[];
  /** DER: who signs leaves. */
  readonly certificate: Uint8Array;
}

export interface DirectoryLimits extends SessionLimits {
  readonly subscriptionsPerNode: number;
  readonly workloadsPerNode: number;
  /** How long a session waits for an agent that is gone. */
  readonly retainMs: number;
  readonly helloMs: number;
  readonly leaveMs: number;
  /** Shorter than agents let a connection wait (resolveTimeoutMs). */
  readonly unclaimedMs: number;
}

const defaultLimits: DirectoryLimits = {
  unacknowledgedUpdates: 4,
  acknowledgeMs: 30_000,
  coalesceMs: 10,
  streamAgeMs: 3_600_000,
  subscriptionsPerNode: 50_000,
  workloadsPerNode: 4096,
  retainMs: 60_000,
  helloMs: 10_000,
  leaveMs: 10_000,
  unclaimedMs: 2000,
};

/** Tells the agents what they have subscribed to, and the model what they report. */
export class Directory {
  readonly #model: Model;
  readonly #networks: readonly Network[];
  readonly #trust: (() => TrustBundle) | undefined;
  readonly #troubles: DirectoryOptions['troubles'];
  readonly #limits: DirectoryLimits;
  readonly #epoch = randomUUID();
  readonly #sessions = new Map<string, NodeSession>();
  readonly #streams = new Map<string, AbortController>();
  readonly #retained = new Map<string, NodeJS.Timeout>();
  readonly #states = new Map<string, DestinationState>();
  readonly #statesAt = new MultiMap<string, DestinationState>();
  readonly #departures: Departures;
  readonly #unclaimed: UnclaimedAddresses;
  /** Of the whole cluster, so all sessions share it. */
  readonly #namespaces: VersionedMap<OptedInNamespace>;
  #isClosed = false;

  constructor(options: DirectoryOptions) {
    this.#model = options.model;
    this.#networks = options.clusterNetworks;
    this.#trust = options.trust;
    this.#troubles = options.troubles;
    this.#limits = { ...defaultLimits, ...options.limits };
    this.#departures = new Departures(this.#limits.leaveMs);
    this.#unclaimed = new UnclaimedAddresses({
      graceMs: this.#limits.unclaimedMs,
      isHeard: options.isHeard ?? (() => true),
      onUnclaimed: (address) => {
        this.#updateDestinations(address, this.#model.advance());
      },
    });
    const { version } = this.#model;
    this.#namespaces = new VersionedMap(version);
    for (const namespace of this.#model.optedInNamespaces()) this.#namespaces.set(namespace.name, namespace, version);
    this.#model.onChange((change) => {
      this.#onModelChange(change);
    });
  }

  /** How many agents are connected. */
  get streams(): number {
    return this.#streams.size;
  }

  close(): void {
    this.#isClosed = true;
    for (const stream of this.#streams.values()) stream.abort();
    for (const timer of this.#retained.values()) clearTimeout(timer);
    this.#departures.close();
    this.#unclaimed.close();
  }

  /** To be called when the issuer or the anchors are others. */
  trustChanged(): void {
    for (const session of this.#sessions.values()) session.markTrust();
  }

  /** @throws WeftError that ends the stream */
  async *connect(
    node: string,
    requests: AsyncIterable<ConnectRequest>,
    signal: AbortSignal,
  ): AsyncGenerator<ConnectResponse> {
    const incoming = requests[Symbol.asyncIterator]();
    const hello = await firstHello(incoming, this.#limits.helloMs);
    if (hello.node !== node)
      throw new WeftError(
        'WEFT-E302',
        `the agent calls itself node "${hello.node}", but its token is of node "${node}"`,
      );
    this.#streams.get(node)?.abort(new WeftError('WEFT-E305', `another agent of node ${node} has connected`));
    const stream = new AbortController();
    this.#streams.set(node, stream);
    const ended = AbortSignal.any([signal, stream.signal]);
    const session = this.#openSession(node);
    try {
      this.#resume(session, hello);
      this.#receive(session, incoming, ended).then(
        () => stream.abort(),
        (error: unknown) => stream.abort(error),
      );
      yield response({ case: 'welcome', value: { epoch: this.#epoch } });
      const trust = (): ConnectResponse | undefined => this.#trust && trustMessage(this.#trust());
      yield* session.responses(() => this.#model.version, trust, this.#limits, ended);
      if (stream.signal.reason instanceof WeftError) throw stream.signal.reason;
    } finally {
      stream.abort();
      if (this.#streams.get(node) === stream) {
        this.#streams.delete(node);
        this.#troubles?.forget(node);
        this.#retain(session);
      }
    }
  }

  #openSession(node: string): NodeSession {
    clearTimeout(this.#retained.get(node));
    this.#retained.delete(node);
    const session =
      this.#sessions.get(node) ??
      new NodeSession(node, this.#model.workloadsOf(node), this.#namespaces, this.#model.version);
    this.#sessions.set(node, session);
    return session;
  }

  #resume(session: NodeSession, hello: Hello): void {
    const { node } = session;
    const isKnown = hello.epoch === this.#epoch;
    const troubles = Object.entries(hello.troubles);
    if (Math.max(hello.meshed.length, troubles.length) > this.#limits.workloadsPerNode)
      throw tooMany(node, 'workloads');
    this.#model.reportNode(node, hello.meshed);
    this.#troubles?.replace(node, troubles);
    session.resume(isKnown ? Number(hello.workloadsVersion) : 0);
    const wanted = new Set(hello.subscriptions.map(({ address, port }) => keyOf(address, port)));
    for (const state of [...session.subscriptions.keys()])
      if (!wanted.has(state.key)) this.#unsubscribe(session, state);
    for (const { address, port, version } of hello.subscriptions)
      this.#subscribe(session, address, port, isKnown ? Number(version) : 0);
  }

  async #receive(session: NodeSession, incoming: AsyncIterator<ConnectRequest>, signal: AbortSignal): Promise<void> {
    for (;;) {
      const next = await incoming.next();
      if (next.done === true || signal.aborted) return;
      this.#handle(session, next.value);
    }
  }

  #handle(session: NodeSession, { message }: ConnectRequest): void {
    const { node } = session;
    switch (message.case) {
      case 'subscribe':
        for (const { address, port } of message.value.subscriptions) this.#subscribe(session, address, port, 0);
        break;
      case 'unsubscribe':
        for (const { address, port } of message.value.destinations) {
          const state = this.#states.get(keyOf(address, port));
          if (state !== undefined) this.#unsubscribe(session, state);
        }
        break;
      case 'report':
        this.#report(session, message.value);
        break;
      case 'acknowledge': {
        const version = Number(message.value.version);
        session.acknowledge(version);
        this.#departures.acknowledged(node, version);
        break;
      }
      default:
        throw new WeftError('WEFT-E303', `node ${node} sent ${message.case ?? 'nothing'} where that has no meaning`);
    }
  }

  #report(session: NodeSession, { uid, meshed, trouble }: Report): void {
    const { node } = session;
    const { workloadsPerNode } = this.#limits;
    if (meshed && this.#model.capturedBy(node).size >= workloadsPerNode) throw tooMany(node, 'workloads');
    if (!meshed && session.untoldLeft >= workloadsPerNode) throw tooMany(node, 'departures');
    const left = (missingNodes: readonly string[]): void => {
      session.tellLeft(create(LeftSchema, { uid, missingNodes: [...missingNodes] }));
    };
    const workload = this.#model.workload(uid);
    // Another node's is nothing to this one: not even that it is leaving.
    const isForeign = workload !== undefined && workload.node !== node;
    if (!isForeign) {
      this.#departures.cancel(uid);
      this.#model.report(node, uid, meshed);
    }
    if (workload?.node === node || trouble === undefined) this.#troubles?.set(node, uid, trouble);
    if (meshed) return;
    if (workload === undefined || isForeign) left([]);
    else this.#departures.start(uid, this.#model.version, this.#subscribersOf(workload), left);
  }

  /** Nodes that have been told of the workload, its own among them where its pods talk to it. */
  #subscribersOf(workload: Workload): Set<string> {
    const nodes = new Set<string>();
    for (const address of this.#model.addressesOf(workload)) {
      for (const state of this.#statesAt.get(address)) for (const { node } of state.subscribers) nodes.add(node);
    }
    return nodes;
  }

  #subscribe(session: NodeSession, address: string, port: number, version: number): void {
    const key = keyOf(address, port);
    let state = this.#states.get(key);
    const isNew = state === undefined || !session.subscriptions.has(state);
    if (isNew && session.subscriptions.size >= this.#limits.subscriptionsPerNode)
      throw tooMany(session.node, 'subscriptions');
    if (state === undefined) {
      state = new DestinationState(key, address, port, this.#lookUp(address, port), this.#model.version);
      this.#states.set(key, state);
      this.#statesAt.add(address, state);
    }
    session.subscribe(state, version);
  }

  #unsubscribe(session: NodeSession, state: DestinationState): void {
    session.unsubscribe(state);
    if (state.subscribers.size > 0) return;
    this.#states.delete(state.key);
    this.#statesAt.delete(state.address, state);
    if (this.#statesAt.get(state.address).size === 0) this.#unclaimed.forget(state.address);
  }

  #lookUp(address: string, port: number): Destination {
    const destination = lookUp(this.#model, this.#networks, address, port);
    if (destination.kind !== 'unknown') {
      this.#unclaimed.forget(address);
      return destination;
    }
    if (this.#model.podsAt(address).length > 0) this.#unclaimed.claimed(address);
    if (this.#unclaimed.has(address)) return { kind: 'external' };
    this.#unclaimed.ask(address);
    return destination;
  }

  #updateDestinations(address: string, version: number): void {
    for (const state of this.#statesAt.get(address)) {
      if (!state.update(this.#lookUp(address, state.port), version)) continue;
      for (const session of state.subscribers) session.markDestination(state);
    }
  }

  #retain(session: NodeSession): void {
    if (this.#isClosed) return;
    const drop = (): void => {
      this.#retained.delete(session.node);
      this.#sessions.delete(session.node);
      for (const state of [...session.subscriptions.keys()]) this.#unsubscribe(session, state);
    };
    this.#retained.set(session.node, setTimeout(drop, this.#limits.retainMs));
  }

  #onModelChange({ version, workloads, addresses, namespaces }: ModelChange): void {
    for (const { before } of workloads.values()) {
      for (const address of before?.addresses ?? []) this.#unclaimed.claimed(address);
    }
    for (const address of addresses) this.#updateDestinations(address, version);
    for (const [uid, { before, now }] of workloads) {
      if (before !== undefined && before.node !== now?.node) {
        const session = this.#sessions.get(before.node);
        session?.workloads.delete(uid, version);
        session?.markWorkloads();
      }
      if (now === undefined) continue;
      const session = this.#sessions.get(now.node);
      session?.workloads.set(uid, now, version);
      session?.markWorkloads();
    }
    for (const [name, namespace] of namespaces) {
      if (namespace === undefined) this.#namespaces.delete(name, version);
      else this.#namespaces.set(name, namespace, version);
    }
    if (namespaces.size > 0) for (const session of this.#sessions.values()) session.markWorkloads();
  }
}

function trustMessage({ anchors, certificate }: TrustBundle): ConnectResponse {
  return response({ case: 'trustBundle', value: { anchors: [...anchors], issuer: certificate } });
}

function tooMany(node: string, what: string): WeftError {
  return new WeftError('WEFT-E303', `node ${node} has more ${what} than one node may have`);
}

/** @throws WeftError WEFT-E303 */
function keyOf(address: string, port: number): string {
  let canonical: string | undefined;
  try {
    canonical = formatAddress(parseAddress(address));
  } catch {
    // told below
  }
  if (canonical !== address || port > 65535)
    throw new WeftError('WEFT-E303', `${JSON.stringify(address)} and ${port} are not an address and a port`);
  return addressKey(address, port);
}

async function firstHello(incoming: AsyncIterator<ConnectRequest>, milliseconds: number): Promise<Hello> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    reject(new WeftError('WEFT-E303', `no Hello within ${milliseconds} ms`));
  }, milliseconds);
  try {
    const first = await Promise.race([incoming.next(), late]);
    if (first.done === true || first.value.message.case !== 'hello')
      throw new WeftError('WEFT-E303', 'a stream must begin with Hello');
    return first.value.message.value;
  } finally {
    clearTimeout(timer);
  }
}
