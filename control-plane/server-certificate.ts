import { X509Certificate, generateKeyPairSync } from 'node:crypto';

import { WeftError } from '../mesh/errors.ts';
import type { IdentityParts, MeshScope } from '../mesh/identity-name.ts';
import { formatIdentityName } from '../mesh/identity-name.ts';
import type { Issuer } from './identity/issuer.ts';
import { signLeaf } from './identity/leaf.ts';

export const controllerServiceAccount = 'weft-controller';

/** PEM. */
export interface ServerCertificate {
  readonly key: string;
  readonly cert: string;
  readonly notAfter: Date;
}

/** What the controller shows to agents, signed by its own issuer. */
export function issueServerCertificate(
  mesh: MeshScope,
  issuer: Issuer,
  { lifeMs, now }: { readonly lifeMs: number; readonly now: number },
): ServerCertificate | WeftError {
  const parts: IdentityParts = {
    ...mesh,
    serviceAccount: controllerServiceAccount,
    namespace: mesh.controlPlaneNamespace,
  };
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const identity = formatIdentityName(parts);
  if (identity === undefined)
    return new WeftError('WEFT-E204', `${mesh.controlPlaneNamespace} and ${mesh.trustDomain} make no name`);
  const request = { identity, parts, publicKey: publicKey.export({ type: 'spki', format: 'der' }) };
  const leaf = signLeaf(request, issuer, { lifeMs, now });
  if (leaf instanceof WeftError) return leaf;
  const chain = [leaf.certificate, ...issuer.chain].map((der) => new X509Certificate(der).toString());
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }),
    cert: chain.join(''),
    notAfter: leaf.notAfter,
  };
}
