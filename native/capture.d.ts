/**
 * Kernel capture: loads bpf/*.bpf.o, pins its maps and links, adopts what an earlier agent pinned. Main process only.
 * Every call is synchronous and short (the longest, open, takes tens of milliseconds). Errors are thrown as Error with `code`
 * (an errno name or a WEFT-Cxx code) and a message that says what to look at.
 */

export interface CaptureOptions {
  /** Folder with the compiled objects. */
  objects: string;
  /** A folder on bpffs; made if missing. Pins of maps carry a hash of their layout. */
  pinDir: string;
  /** The cgroup v2 folder at or below which all pods' processes live; cgroup programs attach here. */
  cgroup: string;
  /** The agent's own cgroup v2 folder: sockets made in it are never captured. */
  agentCgroup: string;
  /** The kubelet's cgroup v2 folder, whose connections to pods are probes; absent: no probe is recorded. */
  kubeletCgroup?: string;
}

export interface PodCapture {
  /** Unique on the node, > 0. */
  id: number;
  workers: number;
  /** 16 bytes each; absent where the pod has none. */
  ipv4?: Uint8Array;
  ipv6?: Uint8Array;
  skipInboundPorts: readonly (readonly [number, number])[];
  skipOutboundPorts: readonly (readonly [number, number])[];
  /** [16-byte address, prefix length of 0..128 (IPv4: 96 + n)] */
  skipSubnets: readonly (readonly [Uint8Array, number])[];
}

export interface AdoptedPod {
  id: number;
  cookie: bigint;
  workers: number;
  ipv4?: Uint8Array;
  ipv6?: Uint8Array;
}

export interface ForeignProgram {
  id: number;
  name: string;
  attachType: string;
  cgroup: string;
}

export interface Counters {
  capturedOutbound: number;
  capturedInbound: number;
  skipped: number;
  droppedEgress: number;
  droppedNoAgent: number;
  probesPassed: number;
}

export interface Capture {
  /** Descriptors for the netns broker and the workers (owned by the capture; pass them on, do not close). */
  readonly listenersMap: number;
  readonly clientsMap: number;
  /** Makes this object's programs the ones that run; until then those of an earlier agent do. Call it when the pods' listeners are in. */
  attach(): void;
  /**
   * The kubelet's cgroup ends with its processes and is made anew for the next, which no program watches then: systemd does so at each
   * start. Watches that one.
   * @returns whether there was a new one
   */
  followKubelet(): boolean;
  /** Pods that the pinned maps hold. */
  adopted(): AdoptedPod[];
  /**
   * Routes, rule, inbound and fail-closed programs in the pod's network namespace, then its map entries: from its return on,
   * every SYN of the pod meets an agent or is dropped. Idempotent.
   */
  enrol(netns: number, pod: PodCapture): void;
  /**
   * Puts back what somebody has taken out of an enrolled pod's network namespace. Changes nothing where all is there.
   * @returns whether something was missing
   */
  mend(netns: number, pod: PodCapture): boolean;
  /** Takes the entries and programs out; the route and the rule stay, as open connections still need them. Idempotent. */
  release(netns: number, id: number): void;
  /** Takes the route, the rule and the source block out, once no connection of the pod is left. */
  cleanNamespace(netns: number): void;
  /** Entries, pins and links of pods whose namespace is gone. */
  forget(cookie: bigint): void;
  counters(): Counters;
  foreignPrograms(): ForeignProgram[];
  close(): void;
}

export interface NativeCapture {
  openCapture(options: CaptureOptions): Capture;
  /** Detaches and unpins everything below pinDir. */
  uninstallCapture(pinDir: string): void;
  /** SO_NETNS_COOKIE of the namespace behind the descriptor. */
  netnsCookie(netns: number): bigint;
  /** Opens an nsfs file; refuses anything that is not a network namespace. */
  openNetns(path: string): number;
  /** Addresses of global scope in the namespace, 16 bytes each. */
  netnsAddresses(netns: number): Uint8Array[];
  closeDescriptor(descriptor: number): void;
}
