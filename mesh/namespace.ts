import { judgeEnrolment } from './enrolment.ts';
import type { SourceNamespace } from './objects.ts';
import { configurationOf } from './workload.ts';

/** A namespace whose pods are meshed unless they say otherwise. */
export interface OptedInNamespace {
  readonly name: string;
  /** Its annotations that configure the mesh. */
  readonly configuration: Readonly<Record<string, string>>;
}

/** Undefined where it is not opted in. */
export function compileNamespace(namespace: SourceNamespace, ownNamespace: string): OptedInNamespace | undefined {
  const { name, annotations } = namespace;
  const anyPod = { namespace: name, labels: {}, annotations: {}, hostNetwork: false, phase: 'Running', containers: [] };
  if (!judgeEnrolment(namespace, anyPod, ownNamespace).meshed) return undefined;
  return { name, configuration: configurationOf(annotations) };
}

export function sameNamespace(a: OptedInNamespace | undefined, b: OptedInNamespace | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  const names = Object.keys(a.configuration);
  return (
    a.name === b.name &&
    names.length === Object.keys(b.configuration).length &&
    names.every((name) => a.configuration[name] === b.configuration[name])
  );
}
