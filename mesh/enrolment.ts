/** Whether a pod belongs to the mesh: a pure rule over what the API server knows. */

export interface NamespaceFacts {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface PodFacts {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly hostNetwork: boolean;
  readonly phase: string;
  /** Init containers included. */
  readonly containers: readonly { readonly name: string }[];
}

export type UnmeshedReason =
  'not-opted-in' | 'opted-out' | 'unknown-value' | 'excluded-namespace' | 'host-network' | 'other-mesh' | 'terminal';

export type EnrolmentVerdict =
  { readonly meshed: true } | { readonly meshed: false; readonly reason: UnmeshedReason; readonly message: string };

const meshLabel = 'weft.dev/mesh';
const linkerdAnnotation = 'linkerd.io/inject';
const sidecars: ReadonlySet<string> = new Set(['linkerd-proxy', 'istio-proxy']);

export function judgeEnrolment(namespace: NamespaceFacts, pod: PodFacts, ownNamespace: string): EnrolmentVerdict {
  if (namespace.name === 'kube-system' || namespace.name === ownNamespace) {
    return unmeshed('excluded-namespace', `namespace ${namespace.name} is never meshed`);
  }
  if (pod.hostNetwork) return unmeshed('host-network', 'it uses the network of its node');
  const sidecar = pod.containers.find((container) => sidecars.has(container.name));
  if (sidecar) return unmeshed('other-mesh', `it carries the proxy of another mesh, container ${sidecar.name}`);
  if (pod.phase === 'Succeeded' || pod.phase === 'Failed') return unmeshed('terminal', `its phase is ${pod.phase}`);
  return (
    wish(pod, 'the pod') ??
    wish(namespace, `namespace ${namespace.name}`) ??
    unmeshed('not-opted-in', `nothing opts it in; label namespace ${namespace.name} with ${meshLabel}=enabled`)
  );
}

/** What one object asks for; undefined where it is silent. Our label is asked before Linkerd's annotation. */
function wish(object: Pick<PodFacts, 'labels' | 'annotations'>, owner: string): EnrolmentVerdict | undefined {
  const label = object.labels[meshLabel];
  if (label !== undefined) return read(label, ['enabled'], `label ${meshLabel} of ${owner}`);
  const inject = object.annotations[linkerdAnnotation] ?? object.labels[linkerdAnnotation];
  if (inject !== undefined) return read(inject, ['enabled', 'ingress'], `${linkerdAnnotation} of ${owner}`);
  return undefined;
}

function read(value: string, enabling: readonly string[], where: string): EnrolmentVerdict {
  if (enabling.includes(value)) return { meshed: true };
  if (value === 'disabled') return unmeshed('opted-out', `${where} says disabled`);
  return unmeshed(
    'unknown-value',
    `${where} has the value "${value}", which is none of ${[...enabling, 'disabled'].join(', ')}`,
  );
}

function unmeshed(reason: UnmeshedReason, message: string): EnrolmentVerdict {
  return { meshed: false, reason, message };
}
