import type { KeyObject } from 'node:crypto';
import { createPublicKey } from 'node:crypto';
import { inspect } from 'node:util';

/** What a worker needs to be an identity. */
export class Credentials {
  readonly identity: string;
  /** DER, leaf first, without the anchor. */
  readonly certificates: readonly Uint8Array[];
  /** DER. */
  readonly trustAnchors: readonly Uint8Array[];
  readonly notAfter: Date;
  readonly #privateKey: KeyObject;

  constructor(
    fields: Pick<Credentials, 'identity' | 'certificates' | 'trustAnchors' | 'notAfter'>,
    privateKey: KeyObject,
  ) {
    this.identity = fields.identity;
    this.certificates = fields.certificates;
    this.trustAnchors = fields.trustAnchors;
    this.notAfter = fields.notAfter;
    this.#privateKey = privateKey;
  }

  /** PKCS #8, DER. An accessor of the class: loggers, JSON, spreading and structured clones see only what an object has of its own. */
  get privateKey(): Uint8Array {
    return this.#privateKey.export({ type: 'pkcs8', format: 'der' });
  }

  get publicKey(): KeyObject {
    return createPublicKey(this.#privateKey);
  }

  /** util.inspect() looks at accessors of classes too if it is asked to. */
  [inspect.custom](): string {
    return `Credentials of ${this.identity} until ${this.notAfter.toISOString()}`;
  }

  withTrustAnchors(trustAnchors: readonly Uint8Array[]): Credentials {
    const { identity, certificates, notAfter } = this;
    return new Credentials({ identity, certificates, trustAnchors, notAfter }, this.#privateKey);
  }
}
