import type { ErrorCode } from '../../mesh/errors.ts';
import { WeftError } from '../../mesh/errors.ts';
import type { MeshScope } from '../../mesh/identity-name.ts';
import { readCertificateRequest } from './certificate-request.ts';
import type { Issuer } from './issuer.ts';
import { signLeaf } from './leaf.ts';

export interface Authenticator {
  /** The node of the agent that the token is bound to. */
  authenticate(token: string, signal: AbortSignal): Promise<{ readonly node: string } | WeftError>;
}

export interface WorkloadsOfNode {
  /** Identity names of the enrolled pods of the node that are not terminal. */
  identitiesOf(node: string): ReadonlySet<string>;
}

export interface Certificate {
  /** DER, leaf first, without the anchor. */
  readonly chain: readonly Uint8Array[];
  /** DER: everybody whom the mesh trusts. */
  readonly anchors: readonly Uint8Array[];
  readonly notAfter: Date;
}

export interface CertificateAuthorityOptions {
  readonly mesh: MeshScope;
  readonly authenticator: Authenticator;
  readonly workloads: WorkloadsOfNode;
  /** Asked at every request, as it may be replaced. */
  readonly issuer: () => Issuer;
  readonly lifeMs?: number;
  /** Told once for each certificate that was signed and each that was not. */
  readonly count?: (outcome: 'signed' | ErrorCode) => void;
  readonly now?: () => number;
}

const oneDayMs = 86_400_000;

/** Signs leaf certificates for the service accounts that have enrolled pods on the caller's node, and for nobody else. */
export class CertificateAuthority {
  readonly #options: CertificateAuthorityOptions;

  constructor(options: CertificateAuthorityOptions) {
    this.#options = options;
  }

  /** The caller logs the refusal. */
  async certify(
    request: { readonly token: string; readonly csr: Uint8Array },
    signal: AbortSignal,
  ): Promise<Certificate | WeftError> {
    const caller = await this.#authenticate(request.token, signal);
    const result = caller instanceof WeftError ? caller : this.#sign(caller.node, request.csr);
    this.#options.count?.(result instanceof WeftError ? result.code : 'signed');
    return result;
  }

  async #authenticate(token: string, signal: AbortSignal): Promise<{ readonly node: string } | WeftError> {
    try {
      const caller = await this.#options.authenticator.authenticate(token, signal);
      signal.throwIfAborted();
      return caller;
    } catch (cause) {
      return new WeftError('WEFT-E210', 'the token could not be verified', { cause });
    }
  }

  #sign(node: string, csr: Uint8Array): Certificate | WeftError {
    const { mesh, workloads, issuer: currentIssuer, lifeMs = oneDayMs, now = Date.now } = this.#options;
    const request = readCertificateRequest(csr, mesh);
    if (request instanceof WeftError) return request;
    if (!workloads.identitiesOf(node).has(request.identity)) {
      return new WeftError('WEFT-E205', `${request.identity} has no enrolled pod on node ${node}`);
    }
    const issuer = currentIssuer();
    const leaf = signLeaf(request, issuer, { lifeMs, now: now() });
    if (leaf instanceof WeftError) return leaf;
    return { chain: [leaf.certificate, ...issuer.chain], anchors: [...issuer.anchors], notAfter: leaf.notAfter };
  }
}
