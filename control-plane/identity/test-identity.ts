import { execFileSync } from 'node:child_process';
import type { KeyObject } from 'node:crypto';
import { X509Certificate, generateKeyPairSync, sign } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { Der } from '../../mesh/der.ts';
import { bitString, constructed, encode, oid, primitive, sequence, tag } from '../../mesh/der.ts';
import { extension, oids } from '../../mesh/x509.ts';
import { messageOf } from '../../mesh/message-of.ts';

export const mesh = { controlPlaneNamespace: 'weft-system', trustDomain: 'cluster.local' };
export const webName = 'web.shop.serviceaccount.identity.weft-system.cluster.local';
export const webUri = 'spiffe://cluster.local/ns/shop/sa/web';

/** A folder for OpenSSL's files, and OpenSSL in it. */
export class OpenSsl {
  readonly folder = mkdtempSync(join(tmpdir(), 'weft-identity-'));

  run(...args: readonly string[]): string {
    return execFileSync('openssl', args, {
      cwd: this.folder,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 30_000,
    });
  }

  write(name: string, content: string | Uint8Array): void {
    writeFileSync(join(this.folder, name), content);
  }

  read(name: string): Buffer {
    return readFileSync(join(this.folder, name));
  }

  /** A key and a certificate, signed by itself, for a server on 127.0.0.1. */
  localServer(): { readonly key: string; readonly cert: string } {
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
    const content = ['-days', '2', '-subj', '/CN=fake', '-addext', 'subjectAltName=IP:127.0.0.1'];
    this.run('req', '-x509', ...curve, ...content, '-keyout', 'local.key', '-out', 'local.crt');
    return { key: this.read('local.key').toString(), cert: this.read('local.crt').toString() };
  }

  /** @returns what OpenSSL has against the leaf, or nothing */
  refusalOf(chain: readonly Uint8Array[], anchors: readonly Uint8Array[], ...options: readonly string[]): string {
    const [leaf, ...intermediates] = chain.map(pemOf);
    this.write('verify-leaf.pem', leaf ?? '');
    this.write('verify-chain.pem', intermediates.join(''));
    this.write('verify-anchors.pem', anchors.map(pemOf).join(''));
    const chainOptions = intermediates.length > 0 ? ['-untrusted', 'verify-chain.pem'] : [];
    try {
      this.run(
        ...['verify', '-x509_strict', '-CAfile', 'verify-anchors.pem', ...chainOptions],
        ...[...options, 'verify-leaf.pem'],
      );
      return '';
    } catch (error) {
      return messageOf(error);
    }
  }

  close(): void {
    rmSync(this.folder, { recursive: true });
  }
}

export function pemOf(der: Uint8Array): string {
  return new X509Certificate(der).toString();
}

/** The parts of a request, each of which a test may replace. */
export interface RequestParts {
  readonly keys?: { readonly privateKey: KeyObject; readonly publicKey: KeyObject };
  readonly signer?: KeyObject;
  readonly digest?: string;
  readonly algorithm?: Der;
  readonly version?: number;
  readonly subject?: Der;
  readonly names?: readonly Der[];
  readonly extensions?: readonly Der[];
  readonly attributes?: readonly Der[];
}

export function dnsName(name: string): Der {
  return primitive(tag.context(2), Buffer.from(name));
}

export function uriName(uri: string): Der {
  return primitive(tag.context(6), Buffer.from(uri));
}

/** By default a request that a certificate authority of `mesh` signs. */
export function makeRequest(parts: RequestParts = {}): Buffer {
  const { privateKey, publicKey } = parts.keys ?? generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const names = parts.names ?? [dnsName(webName), uriName(webUri)];
  const extensions = parts.extensions ?? [extension(oids.subjectAltName, sequence(...names), { critical: true })];
  const attributes = parts.attributes ?? [
    sequence(oid(oids.extensionRequest), constructed(tag.set, [sequence(...extensions)])),
  ];
  const head = [primitive(tag.integer, Buffer.of(parts.version ?? 0)), parts.subject ?? sequence()];
  const tail = constructed(tag.contextConstructed(0), attributes);
  const algorithm = parts.algorithm ?? sequence(oid(oids.ecdsaWithSha256));
  const keyInfo = publicKey.export({ type: 'spki', format: 'der' });
  const info = wrap(Buffer.concat([...head.map(encode), keyInfo, encode(tail)]));
  const signature = sign(parts.digest ?? 'sha256', info, parts.signer ?? privateKey);
  return wrap(Buffer.concat([info, encode(algorithm), encode(bitString(signature))]));
}

/** A sequence of what is encoded already. */
function wrap(content: Buffer): Buffer {
  return encode(primitive(tag.sequence, content)).fill(tag.sequence, 0, 1);
}
