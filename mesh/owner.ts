/** What has made a pod, as Linkerd's metrics name it. */
export const ownerKinds = [
  'deployment',
  'replicaset',
  'replicationcontroller',
  'statefulset',
  'daemonset',
  'job',
] as const;

export type OwnerKind = (typeof ownerKinds)[number];

export interface Owner {
  readonly kind: OwnerKind;
  readonly name: string;
}

export const templateHashLabel = 'pod-template-hash';

/** @param controller of the pod, of its ownerReferences; undefined for one that nobody keeps, or something else does */
export function ownerOf(
  controller: { readonly kind: string; readonly name: string } | undefined,
  labels: Readonly<Record<string, string>>,
): Owner | undefined {
  if (controller === undefined) return undefined;
  const kind = ownerKinds.find((one) => one === controller.kind.toLowerCase());
  if (kind === undefined) return undefined;
  // The Deployment's controller names each of its ReplicaSets after itself and this label, and nobody else writes it.
  const suffix = `-${labels[templateHashLabel] ?? ''}`;
  if (kind === 'replicaset' && suffix !== '-' && controller.name.endsWith(suffix))
    return { kind: 'deployment', name: controller.name.slice(0, -suffix.length) };
  return { kind, name: controller.name };
}

export function readOwnerKind(text: string): OwnerKind | undefined {
  return ownerKinds.find((kind) => kind === text);
}

export function sameOwner(a: Owner | undefined, b: Owner | undefined): boolean {
  return a?.kind === b?.kind && a?.name === b?.name;
}
