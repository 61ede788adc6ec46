import type { MessageInitShape } from '@bufbuild/protobuf';
import type { Transport } from '@connectrpc/connect';
import { createClient } from '@connectrpc/connect';

import type {
  ConnectRequest,
  ConnectResponse,
  NamespacesDelta,
  Update,
  WorkloadsDelta,
} from '../../../control-plane/gen/weft/v1/directory_pb.ts';
import type { HelloSchema } from '../../../control-plane/gen/weft/v1/directory_pb.ts';
import { Directory } from '../../../control-plane/gen/weft/v1/directory_pb.ts';
import type { Destination } from '../../../mesh/destination.ts';
import { WeftError } from '../../../mesh/errors.ts';
import type { OptedInNamespace } from '../../../mesh/namespace.ts';
import type { Trouble } from '../../../mesh/trouble.ts';
import { sameTrouble } from '../../../mesh/trouble.ts';
import type { OwnWorkload } from '../../../mesh/workload.ts';
import { ReconnectBackoff } from './backoff.ts';
import { fromRpcError } from './controller.ts';
import type { DirectoryMemory } from './directory-cache.ts';
import { loadMemory, saveMemory } from './directory-cache.ts';
import type { KnownDestination } from './known-destinations.ts';
import { KnownDestinations } from './known-destinations.ts';
import { readOwnWorkload } from './messages.ts';
import { PendingRequests, request } from './pending-requests.ts';
import { sleep } from '../../../mesh/sleep.ts';

export interface DirectoryClientOptions {
  readonly node: string;
  readonly transport: Transport;
  readonly token: () => Promise<string>;
  /** By uid: what workloads of this node suffer from now. The controller says it where people look; asked every 10 s. */
  readonly troubles?: () => ReadonlyMap<string, Trouble>;
  /** Where the last known state is kept. */
  readonly cachePath: string;
  /** Also when the namespaces are others, and once the controller has said that they are not. */
  readonly onWorkloads: (workloads: ReadonlyMap<string, OwnWorkload>) => void;
  readonly onDestination: (address: string, port: number, destination: Destination) => void;
  readonly onForgotten?: (address: string, port: number) => void;
  readonly onTrustBundle?: (bundle: TrustBundle) => void;
  /** Once per kind of trouble; the client goes on. */
  readonly onProblem: (problem: WeftError) => void;
  readonly limits?: Partial<ClientLimits>;
}

/** DER. */
export interface TrustBundle {
  readonly anchors: readonly Uint8Array[];
  /** Who signs leaves. */
  readonly issuer: Uint8Array;
}

export interface ClientLimits {
  readonly destinations: number;
  readonly idleMs: number;
  readonly welcomeMs: number;
  readonly leaveMs: number;
  readonly saveMs: number;
}

const defaultLimits: ClientLimits = {
  destinations: 50_000,
  idleMs: 600_000,
  welcomeMs: 10_000,
  leaveMs: 15_000,
  saveMs: 1000,
};

const sweepMs = 10_000;

/** What the directory knows, as far as this node needs it: now from the controller, without it as it was last. */
export class DirectoryClient {
  readonly #options: DirectoryClientOptions;
  readonly #limits: ClientLimits;
  readonly #known: KnownDestinations;
  readonly #workloads = new Map<string, OwnWorkload>();
  readonly #namespaces = new Map<string, OptedInNamespace>();
  readonly #meshed = new Set<string>();
  readonly #leaving = new Map<string, (missingNodes: readonly string[] | undefined) => void>();
  readonly #pending = new PendingRequests();
  readonly #backoff = new ReconnectBackoff();
  #epoch = '';
  #workloadsVersion = 0;
  #knowsWorkloads = false;
  #isCurrent = false;
  #trustBundle: TrustBundle | undefined;
  #isConnected = false;
  #lastProblem = '';
  #error: WeftError | undefined;
  #saving: Promise<void> = Promise.resolve();
  #saveTimer: NodeJS.Timeout | undefined;

  constructor(options: DirectoryClientOptions) {
    this.#options = options;
    this.#limits = { ...defaultLimits, ...options.limits };
    this.#known = new KnownDestinations({ maximum: this.#limits.destinations, idleMs: this.#limits.idleMs });
  }

  /** Why there was no connection when it was tried last. */
  get error(): WeftError | undefined {
    return this.#error;
  }

  get isConnected(): boolean {
    return this.#isConnected;
  }

  /** Something is known: of the controller, or of an earlier run. */
  get knowsMesh(): boolean {
    return this.#epoch !== '';
  }

  /** Of this node. */
  get workloads(): ReadonlyMap<string, OwnWorkload> {
    return this.#workloads;
  }

  /** Those that are opted in, by name. */
  get namespaces(): ReadonlyMap<string, OptedInNamespace> {
    return this.#namespaces;
  }

  /** What workloads and namespaces there are is known: of a controller, or of an earlier run. */
  get knowsWorkloads(): boolean {
    return this.#knowsWorkloads;
  }

  /** A controller has told them in this run. */
  get isCurrent(): boolean {
    return this.#isCurrent;
  }

  get destinationCount(): number {
    return this.#known.size;
  }

  /** Reads the cache; to be awaited before the first question. */
  async restore(): Promise<void> {
    const memory = await loadMemory(this.#options.cachePath, this.#options.node);
    if (memory instanceof WeftError) this.#options.onProblem(memory);
    else if (memory !== undefined) this.#remember(memory);
  }

  /** Stays connected until the signal; resolves once what is known is on disk. */
  async run(signal: AbortSignal): Promise<void> {
    const sweep = setInterval(() => {
      this.#expire();
    }, sweepMs);
    while (!signal.aborted) {
      try {
        await this.#connect(signal);
      } catch (error) {
        this.#tell(fromRpcError(error), signal);
      }
      this.#isConnected = false;
      await sleep(this.#backoff.next(), signal);
    }
    clearInterval(sweep);
    clearTimeout(this.#saveTimer);
    this.#saveTimer = undefined;
    await this.#save();
  }

  /** What is known now; undefined where the directory has not answered. Subscribes. */
  lookUp(address: string, port: number): Destination | undefined {
    return this.#use(address, port).destination;
  }

  /** Its capture is active. */
  joined(uid: string): void {
    this.#meshed.add(uid);
    this.#leaving.get(uid)?.(undefined);
    this.#pending.report(uid, true);
  }

  /**
   * Announces that it leaves. Its capture may end when this resolves: to the nodes that have not acknowledged in time, or to undefined
   * where the controller did not answer.
   */
  async leave(uid: string): Promise<readonly string[] | undefined> {
    this.#meshed.delete(uid);
    this.#leaving.get(uid)?.(undefined);
    const { promise, resolve } = Promise.withResolvers<readonly string[] | undefined>();
    const timer = setTimeout(() => {
      resolve(undefined);
    }, this.#limits.leaveMs);
    this.#leaving.set(uid, resolve);
    this.#pending.report(uid, false);
    const missing = await promise;
    clearTimeout(timer);
    if (this.#leaving.get(uid) === resolve) this.#leaving.delete(uid);
    return missing;
  }

  #use(address: string, port: number): KnownDestination {
    const now = performance.now();
    const known = this.#known.use(address, port, now);
    if (known !== undefined) return known;
    const added = this.#known.add(address, port, now);
    this.#pending.subscribe(added);
    if (this.#known.size > this.#limits.destinations) this.#expire();
    return added;
  }

  #expire(): void {
    // Without the controller nobody could tell it again.
    for (const expired of this.#known.expire(this.#isConnected ? performance.now() : -Infinity)) {
      this.#pending.unsubscribe(expired);
      this.#options.onForgotten?.(expired.address, expired.port);
    }
  }

  async #connect(signal: AbortSignal): Promise<void> {
    const stream = new AbortController();
    const ended = AbortSignal.any([signal, stream.signal]);
    const welcome = setTimeout(() => {
      stream.abort(new WeftError('WEFT-E306', `no answer within ${this.#limits.welcomeMs} ms`));
    }, this.#limits.welcomeMs);
    try {
      const headers = { authorization: `Bearer ${await this.#options.token()}` };
      const client = createClient(Directory, this.#options.transport);
      for await (const response of client.connect(this.#requests(ended), { headers, signal: ended })) {
        clearTimeout(welcome);
        this.#handle(response);
      }
      throw new WeftError('WEFT-E306', 'the controller has ended the stream');
    } catch (error) {
      throw stream.signal.aborted ? stream.signal.reason : error;
    } finally {
      clearTimeout(welcome);
      stream.abort();
    }
  }

  async *#requests(signal: AbortSignal): AsyncGenerator<ConnectRequest> {
    const told = new Map(this.#options.troubles?.());
    yield request({ case: 'hello', value: this.#hello(told) });
    while (!signal.aborted) {
      yield* this.#pending.take();
      yield* this.#newTroubles(told);
      await this.#pending.wait(signal, sweepMs);
    }
  }

  *#newTroubles(told: Map<string, Trouble>): Generator<ConnectRequest> {
    const now = this.#options.troubles?.() ?? new Map<string, Trouble>();
    for (const uid of new Set([...told.keys(), ...now.keys()])) {
      const trouble = now.get(uid);
      if (sameTrouble(trouble, told.get(uid)) || this.#leaving.has(uid)) continue; // of a pod that leaves the answer is waited for
      if (trouble === undefined) told.delete(uid);
      else told.set(uid, trouble);
      if (!this.#workloads.has(uid)) continue;
      yield request({ case: 'report', value: { uid, meshed: this.#meshed.has(uid), ...(trouble && { trouble }) } });
    }
  }

  #hello(troubles: ReadonlyMap<string, Trouble>): MessageInitShape<typeof HelloSchema> {
    this.#pending.clear();
    for (const uid of this.#leaving.keys()) this.#pending.report(uid, false); // to be told when everybody knows
    return {
      node: this.#options.node,
      epoch: this.#epoch,
      workloadsVersion: BigInt(this.#workloadsVersion),
      meshed: [...this.#meshed],
      troubles: Object.fromEntries(troubles),
      subscriptions: [...this.#known.values()].map(({ address, port, version }) => ({
        address,
        port,
        version: BigInt(version),
      })),
    };
  }

  #handle({ message }: ConnectResponse): void {
    switch (message.case) {
      case 'welcome':
        this.#isConnected = true;
        this.#lastProblem = '';
        this.#error = undefined;
        this.#backoff.succeeded();
        this.#setEpoch(message.value.epoch);
        break;
      case 'update':
        this.#update(message.value);
        break;
      case 'left':
        this.#leaving.get(message.value.uid)?.(message.value.missingNodes);
        break;
      case 'trustBundle':
        this.#trust(message.value);
        this.#saveSoon();
    }
  }

  /** An empty bundle would end every connection of the mesh. */
  #trust({ anchors, issuer }: TrustBundle): void {
    if (anchors.length === 0) return;
    this.#trustBundle = { anchors, issuer };
    this.#options.onTrustBundle?.(this.#trustBundle);
  }

  /** Versions of another controller mean nothing to this one. */
  #setEpoch(epoch: string): void {
    if (epoch === this.#epoch) return;
    this.#epoch = epoch;
    this.#workloadsVersion = 0;
    for (const known of this.#known.values()) known.version = 0;
  }

  #update({ version, workloads, destinations }: Update): void {
    for (const delta of destinations) {
      const known = this.#known.apply(delta);
      if (known?.destination === undefined) continue;
      this.#options.onDestination(known.address, known.port, known.destination);
    }
    if (workloads !== undefined) this.#updateWorkloads(workloads);
    // The first update tells of workloads all that the agent has missed, be it nothing.
    const isFirst = version > 0n && !this.#isCurrent;
    if (isFirst) this.#isCurrent = this.#knowsWorkloads = true;
    if (workloads !== undefined || isFirst) this.#options.onWorkloads(this.#workloads);
    if (version > 0n) this.#pending.acknowledge(Number(version));
    this.#saveSoon();
  }

  #updateWorkloads({ version, full, upserts, removedUids, namespaces }: WorkloadsDelta): void {
    if (full) this.#workloads.clear();
    for (const uid of removedUids) this.#workloads.delete(uid);
    for (const workload of upserts.map(readOwnWorkload)) {
      if (workload !== undefined) this.#workloads.set(workload.uid, workload);
    }
    if (namespaces !== undefined) this.#updateNamespaces(namespaces);
    this.#workloadsVersion = Number(version);
  }

  #updateNamespaces({ full, upserts, removedNames }: NamespacesDelta): void {
    if (full) this.#namespaces.clear();
    for (const name of removedNames) this.#namespaces.delete(name);
    for (const { name, configuration } of upserts) this.#namespaces.set(name, { name, configuration });
  }

  #saveSoon(): void {
    this.#saveTimer ??= setTimeout(() => {
      this.#saveTimer = undefined;
      void this.#save();
    }, this.#limits.saveMs);
  }

  #remember(memory: DirectoryMemory): void {
    const now = performance.now();
    this.#epoch = memory.epoch;
    this.#workloadsVersion = memory.workloadsVersion;
    this.#knowsWorkloads = memory.knowsWorkloads;
    for (const workload of memory.workloads) this.#workloads.set(workload.uid, workload);
    for (const namespace of memory.namespaces) this.#namespaces.set(namespace.name, namespace);
    for (const saved of memory.destinations) this.#known.restore(saved, now);
    this.#options.onWorkloads(this.#workloads);
    for (const { address, port, destination } of memory.destinations)
      this.#options.onDestination(address, port, destination);
    if (memory.trustBundle !== undefined) this.#trust(memory.trustBundle);
  }

  #save(): Promise<void> {
    this.#saving = this.#saving.then(async () => {
      const destinations = [...this.#known.values()].flatMap(({ address, port, destination, version }) =>
        destination === undefined ? [] : [{ address, port, destination, version }],
      );
      const { node, cachePath } = this.#options;
      const memory = {
        node,
        epoch: this.#epoch,
        workloadsVersion: this.#workloadsVersion,
        knowsWorkloads: this.#knowsWorkloads,
        workloads: [...this.#workloads.values()],
        namespaces: [...this.#namespaces.values()],
        destinations,
        ...(this.#trustBundle && { trustBundle: this.#trustBundle }),
      };
      try {
        await saveMemory(cachePath, memory);
      } catch (cause) {
        this.#options.onProblem(
          new WeftError('WEFT-E307', `${cachePath} cannot be written: ${String(cause)}`, { cause }),
        );
      }
    });
    return this.#saving;
  }

  #tell(problem: WeftError, signal: AbortSignal): void {
    this.#error = problem;
    if (signal.aborted || problem.message === this.#lastProblem) return;
    this.#lastProblem = problem.message;
    this.#options.onProblem(problem);
  }
}
