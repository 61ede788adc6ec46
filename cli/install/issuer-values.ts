import { readFileSync } from 'node:fs';

import { parse, stringify } from 'yaml';

import type { IssuerTexts } from '../../control-plane/identity/issuer.ts';
import { readIssuer } from '../../control-plane/identity/issuer.ts';
import { createAuthority } from '../../control-plane/identity/new-authority.ts';
import { WeftError } from '../../mesh/errors.ts';
import type { Choices } from './chart.ts';
import type { SecretObject } from './choices.ts';
import { messageOf } from '../../mesh/message-of.ts';

/** A ConfigMap; its ca.crt is whom the mesh trusts. */
export const anchorsConfigMap = 'weft-trust-anchors';
/** The Secret that the controller reads its issuer from; kubernetes.io/tls with the trust anchors, as cert-manager writes it. */
export const issuerSecret = 'weft-issuer';

export interface IssuerFiles {
  readonly anchors: string | undefined;
  readonly certificate: string | undefined;
  readonly key: string | undefined;
}

/** The names are Linkerd's. */
export function issuerValues({ anchors, certificates, key }: IssuerTexts): string {
  return stringify({
    identityTrustAnchorsPEM: anchors,
    identity: { issuer: { tls: { crtPEM: certificates, keyPEM: key } } },
  });
}

/** From the files if they are named, else a new one. @throws WeftError E401, E211 */
export function chooseIssuer(files: IssuerFiles): IssuerTexts {
  const { anchors, certificate, key } = files;
  const given = [anchors, certificate, key].filter((file) => file !== undefined).length;
  if (given === 0) return createAuthority();
  if (anchors === undefined || certificate === undefined || key === undefined)
    throw new WeftError('WEFT-E401', 'the three --identity-* files of an issuer belong together');
  return verified({ anchors: read(anchors), certificates: read(certificate), key: read(key) });
}

/** @param anchors whom the mesh trusts now, which may be more than the Secret names. @throws WeftError E211 */
export function issuerOf(secret: SecretObject, anchors: string | undefined): IssuerTexts {
  const text = (name: string): string => Buffer.from(secret.data?.[name] ?? '', 'base64').toString();
  return verified({ anchors: anchors ?? text('ca.crt'), certificates: text('tls.crt'), key: text('tls.key') });
}

/** Values for an issuer that somebody else writes, and maybe the anchors as well. @throws WeftError E401 */
export function externalIssuerValues(anchorsFile: string | undefined): string {
  if (anchorsFile === undefined) return stringify({ identity: { externalIssuer: true, externalCA: true } });
  return stringify({ identityTrustAnchorsPEM: read(anchorsFile), identity: { externalIssuer: true } });
}

/** Whether that was chosen; the last word counts. */
export function isExternal({ values, set }: Choices): boolean {
  let isChosen = false;
  for (const text of values) {
    const { identity } = (parse(text) as { identity?: { externalIssuer?: unknown } } | null) ?? {};
    if (typeof identity?.externalIssuer === 'boolean') isChosen = identity.externalIssuer;
  }
  for (const [, value] of set.join().matchAll(/(?:^|,)identity\.externalIssuer=(\w+)/g)) isChosen = value === 'true';
  return isChosen;
}

/** As the controller will: what it refuses must not be installed. */
function verified(texts: IssuerTexts): IssuerTexts {
  const issuer = readIssuer(texts, Date.now());
  if (issuer instanceof WeftError) throw issuer;
  return texts;
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new WeftError('WEFT-E401', messageOf(error), { cause: error });
  }
}
