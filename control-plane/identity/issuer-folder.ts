import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { WeftError } from '../../mesh/errors.ts';
import type { IssuerTexts } from './issuer.ts';
import { createAuthority } from './new-authority.ts';
import { createPrivateFolder, isSystemError } from './private-files.ts';

/** Of Secrets of type kubernetes.io/tls, and of Linkerd's. */
const schemes = [
  { certificates: 'tls.crt', key: 'tls.key' },
  { certificates: 'crt.pem', key: 'key.pem' },
] as const;
const anchorsName = 'ca.crt';

/** Undefined where the folder holds none of the files. */
export async function readIssuerFolder(folder: string): Promise<IssuerTexts | undefined | WeftError> {
  for (let attempt = 0; attempt < 3; attempt++) {
    const first = await readOnce(folder);
    const second = await readOnce(folder);
    if (first instanceof WeftError || JSON.stringify(first) === JSON.stringify(second)) return first;
  }
  return new WeftError('WEFT-E213', `the files of ${folder} do not cease to change`);
}

/** With an authority of our own where the folder is absent or empty. */
export async function openIssuerFolder(folder: string, now = Date.now()): Promise<IssuerTexts | WeftError> {
  const found = await readIssuerFolder(folder);
  if (found !== undefined) return found;
  const made = createAuthority({ now });
  const [names] = schemes;
  try {
    await createPrivateFolder(folder, {
      [names.certificates]: made.certificates,
      [names.key]: made.key,
      [anchorsName]: made.anchors,
    });
  } catch (cause) {
    return new WeftError('WEFT-E213', `no certificate authority could be made in ${folder}`, { cause });
  }
  // Read back, as another process may have been quicker.
  const kept = await readIssuerFolder(folder);
  return kept ?? new WeftError('WEFT-E213', `${folder} holds files, but no issuer`);
}

async function readOnce(folder: string): Promise<IssuerTexts | undefined | WeftError> {
  const names = [...schemes.flatMap(({ certificates, key }) => [certificates, key]), anchorsName];
  try {
    const texts = new Map<string, string>();
    for (const name of names) {
      const text = await readIfPresent(join(folder, name));
      if (text !== undefined) texts.set(name, text);
    }
    if (texts.size === 0) return undefined;
    const scheme = schemes.find(({ certificates }) => texts.has(certificates)) ?? schemes[0];
    const certificates = texts.get(scheme.certificates);
    const key = texts.get(scheme.key);
    const anchors = texts.get(anchorsName);
    if (certificates === undefined || key === undefined || anchors === undefined) {
      const missing = [scheme.certificates, scheme.key, anchorsName].filter((name) => !texts.has(name));
      return new WeftError('WEFT-E213', `${folder} lacks ${missing.join(' and ')}`);
    }
    return { certificates, key, anchors };
  } catch (cause) {
    return new WeftError('WEFT-E213', `the issuer in ${folder} could not be read`, { cause });
  }
}

async function readIfPresent(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return undefined;
    throw error;
  }
}
