import type { SourceKind } from '../../../mesh/objects.ts';

export interface ResourceKind {
  readonly kind: SourceKind;
  /** Of all namespaces. */
  readonly path: string;
  /** Its definition may not be installed; then it is waited for, and nothing waits for it. */
  readonly optional?: boolean;
}

export const resourceKinds: readonly ResourceKind[] = [
  { kind: 'Namespace', path: '/api/v1/namespaces' },
  { kind: 'Pod', path: '/api/v1/pods' },
  { kind: 'Service', path: '/api/v1/services' },
  { kind: 'EndpointSlice', path: '/apis/discovery.k8s.io/v1/endpointslices' },
  { kind: 'ServiceAccount', path: '/api/v1/serviceaccounts' },
  { kind: 'Node', path: '/api/v1/nodes' },
];
