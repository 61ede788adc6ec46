import type { NamespaceFacts, PodFacts } from '../../mesh/enrolment.ts';
import type { WeftError } from '../../mesh/errors.ts';

export type SourceNamespace = NamespaceFacts;

export interface SourcePod extends Omit<PodFacts, 'containers'> {
  readonly uid: string;
  readonly name: string;
  /** Empty while it is not scheduled. */
  readonly nodeName: string;
  readonly containers: readonly { readonly name: string; readonly ports: readonly number[] }[];
  /** podIPs as text; empty until there are any. */
  readonly addresses: readonly string[];
}

export interface ObjectSnapshot {
  readonly namespaces: ReadonlyMap<string, SourceNamespace>;
  /** By uid. */
  readonly pods: ReadonlyMap<string, SourcePod>;
}

/** Where Kubernetes objects come from: a folder of manifests, or a cluster. */
export interface ObjectSource {
  /** Resolves once the first snapshot is complete. */
  start(signal: AbortSignal): Promise<void>;
  snapshot(): ObjectSnapshot;
  onChange(listener: () => void): void;
  /** What cannot be read at the moment. */
  problems(): readonly WeftError[];
}
