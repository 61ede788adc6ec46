import { judgeEnrolment } from './enrolment.ts';
import type { HostPort, SourceNamespace, SourcePod } from './objects.ts';
import { defaultOpaquePorts, parseOpaquePorts } from './opaque-ports.ts';
import type { Owner } from './owner.ts';
import { sameOwner, templateHashLabel } from './owner.ts';
import type { Annotations, PortRange } from './skips.ts';
import { AnnotationError, parseSkips } from './skips.ts';

/** What a peer has to know of a workload. */
export interface WorkloadFacts {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly node: string;
  readonly serviceAccount: string;
  readonly owner: Owner | undefined;
  /** Of the Deployment's template that it was made from; empty for other pods. */
  readonly templateHash: string;
  /** The name in its certificate. */
  readonly identity: string;
  /** It is to be in the mesh. */
  readonly wanted: boolean;
  /** Its own agent captures it. Undefined while that agent has not reported. */
  readonly meshed: boolean | undefined;
  readonly opaquePorts: readonly PortRange[];
  /** Connections to these are not captured. */
  readonly skippedPorts: readonly PortRange[];
}

/** What its own agent has to know, too. */
export interface OwnWorkload extends WorkloadFacts {
  readonly addresses: readonly string[];
  readonly phase: string;
  readonly containerPorts: readonly number[];
  /** Annotations that configure the mesh, the pod's over those of its namespace. */
  readonly configuration: Readonly<Record<string, string>>;
  /** Empty where it is wanted. */
  readonly unwantedReason: string;
}

export interface Workload extends OwnWorkload {
  /** It has ended: its addresses may be somebody else's. */
  readonly terminal: boolean;
  readonly deleting: boolean;
  /** Its addresses are the node's. */
  readonly hostNetwork: boolean;
  /** Ports of its node that lead to it. */
  readonly hostPorts: readonly HostPort[];
  readonly createdAt: number;
}

export interface WorkloadRules {
  /** Of the control plane, which is never meshed. */
  readonly ownNamespace: string;
  readonly identityOf: (account: { readonly serviceAccount: string; readonly namespace: string }) => string;
}

const configurationPrefixes = ['config.linkerd.io/', 'weft.dev/'];

export function compileWorkload(
  pod: SourcePod,
  namespace: SourceNamespace | undefined,
  meshed: boolean | undefined,
  rules: WorkloadRules,
): Workload {
  const verdict =
    namespace === undefined
      ? { meshed: false as const, message: `namespace ${pod.namespace} is not known` }
      : judgeEnrolment(namespace, pod, rules.ownNamespace);
  const configuration = configurationOf({ ...namespace?.annotations, ...pod.annotations });
  return {
    uid: pod.uid,
    namespace: pod.namespace,
    name: pod.name,
    node: pod.nodeName,
    serviceAccount: pod.serviceAccount,
    owner: pod.owner,
    templateHash: pod.labels[templateHashLabel] ?? '',
    identity: rules.identityOf(pod),
    wanted: verdict.meshed,
    meshed,
    opaquePorts: parseOpaquePorts(configuration) ?? defaultOpaquePorts,
    skippedPorts: skippedPortsOf(configuration),
    addresses: pod.addresses,
    phase: pod.phase,
    containerPorts: pod.containers.flatMap((container) => container.ports),
    configuration,
    unwantedReason: verdict.meshed ? '' : verdict.message,
    terminal: pod.phase === 'Succeeded' || pod.phase === 'Failed',
    deleting: pod.deleting,
    hostNetwork: pod.hostNetwork,
    hostPorts: pod.hostPorts,
    createdAt: pod.createdAt,
  };
}

/** Whose the address is: of several, the one that stays, then the youngest. Never one that has ended or uses its node's network. */
export function ownerOfAddress(candidates: Iterable<Workload>): Workload | undefined {
  let owner: Workload | undefined;
  for (const candidate of candidates) {
    if (candidate.terminal || candidate.hostNetwork) continue;
    if (owner === undefined || precedes(candidate, owner)) owner = candidate;
  }
  return owner;
}

function precedes(a: Workload, b: Workload): boolean {
  if (a.deleting !== b.deleting) return b.deleting;
  if (a.createdAt !== b.createdAt) return a.createdAt > b.createdAt;
  return a.uid > b.uid;
}

/**
 * What is known after news of a peer. A controller that has just started has no report yet of pods that have been captured for long: a
 * peer known as meshed stays so until its agent says otherwise.
 */
export function rememberMeshed(before: WorkloadFacts | undefined, now: WorkloadFacts): WorkloadFacts {
  if (now.meshed !== undefined || before?.uid !== now.uid || before.meshed === undefined) return now;
  return { ...now, meshed: before.meshed };
}

export function sameFacts(a: WorkloadFacts | undefined, b: WorkloadFacts | undefined): boolean {
  if (a === b) return true;
  if (a === undefined || b === undefined) return false;
  return (
    a.uid === b.uid &&
    a.namespace === b.namespace &&
    a.name === b.name &&
    a.node === b.node &&
    a.serviceAccount === b.serviceAccount &&
    sameOwner(a.owner, b.owner) &&
    a.templateHash === b.templateHash &&
    a.identity === b.identity &&
    a.wanted === b.wanted &&
    a.meshed === b.meshed &&
    samePorts(a.opaquePorts, b.opaquePorts) &&
    samePorts(a.skippedPorts, b.skippedPorts)
  );
}

export function samePorts(a: readonly PortRange[], b: readonly PortRange[]): boolean {
  return a === b || (a.length === b.length && a.every(([first, last], i) => b[i]?.[0] === first && b[i][1] === last));
}

/** A list that cannot be read skips nothing, as for the agent that captures. */
function skippedPortsOf(configuration: Annotations): readonly PortRange[] {
  try {
    return parseSkips({}, configuration).inboundPorts;
  } catch (error) {
    if (error instanceof AnnotationError) return parseSkips({}, {}).inboundPorts;
    throw error;
  }
}

/** Annotations that configure the mesh. */
export function configurationOf(annotations: Readonly<Record<string, string>>): Record<string, string> {
  const isOurs = (name: string): boolean => configurationPrefixes.some((prefix) => name.startsWith(prefix));
  return Object.fromEntries(Object.entries(annotations).filter(([name]) => isOurs(name)));
}
