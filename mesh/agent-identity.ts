import type { MeshScope } from './identity-name.ts';
import { formatIdentityName } from './identity-name.ts';

export const agentServiceAccount = 'weft-agent';

/** Of all agents of a mesh, in what they show to who reads their metrics. Undefined where the mesh's names make no DNS name. */
export function agentIdentity(mesh: MeshScope): string | undefined {
  const account = { serviceAccount: agentServiceAccount, namespace: mesh.controlPlaneNamespace };
  return formatIdentityName({ ...account, ...mesh });
}
