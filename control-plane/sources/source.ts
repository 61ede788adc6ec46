import type { WeftError } from '../../mesh/errors.ts';
import type { SourceObject } from '../../mesh/objects.ts';

/** One change of one object, as a watch tells it. */
export type Delta =
  | { readonly type: 'upsert'; readonly object: SourceObject }
  /** The object as it was last. */
  | { readonly type: 'delete'; readonly object: SourceObject };

/** Where Kubernetes objects come from: a folder of manifests, or a cluster. */
export interface Source {
  /** Resolves once everything that exists has been told. A source that has to list anew tells the difference only. */
  start(signal: AbortSignal): Promise<void>;
  /** Deltas of one call belong together. To be set before start. */
  onDeltas(listener: (deltas: readonly Delta[]) => void): void;
  /** What cannot be read at the moment; what it said before stays in force. */
  problems(): readonly WeftError[];
}
