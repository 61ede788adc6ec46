/** Who a workload is: its service account, in the mesh that vouches for it. */
export interface IdentityParts {
  readonly serviceAccount: string;
  readonly namespace: string;
  readonly controlPlaneNamespace: string;
  readonly trustDomain: string;
}

/** What all identities of one mesh have in common. */
export type MeshScope = Pick<IdentityParts, 'controlPlaneNamespace' | 'trustDomain'>;

/** RFC 1035 2.3.4: 255 octets on the wire are 253 characters. */
const longestName = 253;
const label = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/;

/**
 * The DNS name that stands in certificates and in the SNI. Undefined for parts that make no DNS name: Kubernetes allows service accounts
 * with labels of more than 63 characters, and long ones that leave no room for the suffix.
 */
export function formatIdentityName(parts: IdentityParts): string | undefined {
  if (!isDnsName(parts.serviceAccount) || !isDnsLabel(parts.namespace) || !isMeshScope(parts)) return undefined;
  const name = `${parts.serviceAccount}.${parts.namespace}${identitySuffix(parts)}`;
  return name.length <= longestName ? name : undefined;
}

/**
 * Undefined for what is not an identity of this mesh. Service accounts may have dots and even end like a suffix; namespaces have none, so
 * with the mesh known there is one reading only.
 */
export function parseIdentityName(name: string, mesh: MeshScope): IdentityParts | undefined {
  const suffix = identitySuffix(mesh);
  if (!name.endsWith(suffix)) return undefined;
  const account = name.slice(0, -suffix.length);
  const dot = account.lastIndexOf('.');
  const { controlPlaneNamespace, trustDomain } = mesh;
  const parts = {
    serviceAccount: account.slice(0, Math.max(dot, 0)),
    namespace: account.slice(dot + 1),
    controlPlaneNamespace,
    trustDomain,
  };
  return formatIdentityName(parts) === name ? parts : undefined;
}

/** What every identity name of the mesh ends with, from the dot after the namespace. */
export function identitySuffix(mesh: MeshScope): string {
  return `.serviceaccount.identity.${mesh.controlPlaneNamespace}.${mesh.trustDomain}`;
}

/** The same identity for peers that speak SPIFFE. */
export function spiffeUri({ trustDomain, namespace, serviceAccount }: IdentityParts): string {
  return `spiffe://${trustDomain}/ns/${namespace}/sa/${serviceAccount}`;
}

export function isMeshScope(mesh: MeshScope): boolean {
  return isDnsLabel(mesh.controlPlaneNamespace) && isDnsName(mesh.trustDomain);
}

function isDnsName(text: string): boolean {
  return text.length <= longestName && text.split('.').every(isDnsLabel);
}

function isDnsLabel(text: string): boolean {
  return label.test(text);
}
