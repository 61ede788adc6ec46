// INTERIM
import { generateKeyPairSync } from 'node:crypto';
import { dnsName, makeRequest } from '../../../control-plane/identity/test-identity.ts';
import { WeftError } from '../../../mesh/errors.ts';
export interface Credentials {
  identity: string;
  certificates: Uint8Array[];
  privateKey: Uint8Array;
  trustAnchors: Uint8Array[];
}
export class Identities {
  #o: any;
  #m = new Map<string, Credentials>();
  #busy = new Set<string>();
  constructor(o: {
    certifier: { certify(csr: Uint8Array, signal: AbortSignal): Promise<any> };
    onCredentials(c: Credentials): void;
    onProblem(p: WeftError): void;
  }) {
    this.#o = o;
  }
  want(names: ReadonlySet<string>) {
    for (const n of names) if (!this.#m.has(n) && !this.#busy.has(n)) void this.#get(n);
  }
  async #get(n: string) {
    this.#busy.add(n);
    const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const r = await this.#o.certifier.certify(
      makeRequest({ keys, names: [dnsName(n)] } as any),
      AbortSignal.timeout(5000),
    );
    this.#busy.delete(n);
    if (r instanceof WeftError) {
      this.#o.onProblem(r);
      setTimeout(() => void this.#get(n), 200);
      return;
    }
    const c = {
      identity: n,
      certificates: [...r.chain],
      privateKey: keys.privateKey.export({ type: 'pkcs8', format: 'der' }),
      trustAnchors: [...r.anchors],
    };
    this.#m.set(n, c);
    this.#o.onCredentials(c);
  }
  all() {
    return [...this.#m.values()];
  }
  close() {}
}
