import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';

import { CertificateAuthority } from '../../../control-plane/identity/certificate-authority.ts';
import type { Issuer, IssuerTexts } from '../../../control-plane/identity/issuer.ts';
import { readIssuer } from '../../../control-plane/identity/issuer.ts';
import { createAuthority } from '../../../control-plane/identity/new-authority.ts';
import { mesh } from '../../../control-plane/identity/test-identity.ts';
import { WeftError } from '../../../mesh/errors.ts';
import type { Credentials } from './credentials.ts';
import type { Certificate } from './issued-leaf.ts';
import type { NodeIdentitiesOptions } from './node-identities.ts';
import { NodeIdentities } from './node-identities.ts';
import { TestClock } from './test-clock.ts';

export const web = 'web.shop.serviceaccount.identity.weft-system.cluster.local';
export const api = 'api.shop.serviceaccount.identity.weft-system.cluster.local';
export const hourMs = 3_600_000;
export const start = 1_800_000_000_000;

/** A controller and a node, each with its clock. */
export class Fixture {
  readonly clock: TestClock;
  readonly controllerAheadMs: number;
  readonly enrolled = new Set([web, api]);
  readonly told: Credentials[] = [];
  readonly released: string[] = [];
  readonly errors: WeftError[] = [];
  readonly identities: NodeIdentities;
  requests = 0;
  lifeMs = 24 * hourMs;
  issuer: Issuer;
  /** What the controller answers instead, or does before it answers. */
  intercept: (signal: AbortSignal) => Promise<Certificate | WeftError | undefined> = () => Promise.resolve(undefined);

  constructor({
    controllerAheadMs = 0,
    ...options
  }: { controllerAheadMs?: number } & Partial<NodeIdentitiesOptions> = {}) {
    this.controllerAheadMs = controllerAheadMs;
    this.clock = new TestClock(start);
    this.issuer = this.issuerOf(createAuthority({ now: this.controllerNow() }));
    this.identities = new NodeIdentities({
      certifier: { certify: (csr, signal) => this.#certify(csr, signal) },
      onCredentials: (credentials) => this.told.push(credentials),
      onRelease: (identity) => this.released.push(identity),
      onError: (error) => this.errors.push(error),
      clock: this.clock,
      random: () => 0,
      ...options,
    });
  }

  /** By the controller's clock, which nobody sets. */
  controllerNow(): number {
    return start + this.clock.monotonic() - 5000 + this.controllerAheadMs;
  }

  issuerOf(texts: IssuerTexts): Issuer {
    const issuer = readIssuer(texts, this.controllerNow());
    if (issuer instanceof WeftError) throw issuer;
    return issuer;
  }

  get last(): Credentials {
    const credentials = this.told.at(-1);
    assert.ok(credentials);
    return credentials;
  }

  codes(): string[] {
    return this.errors.map(({ code }) => code);
  }

  async #certify(csr: Uint8Array, signal: AbortSignal): Promise<Certificate | WeftError> {
    this.requests++;
    const instead = await this.intercept(signal);
    if (instead !== undefined) return instead;
    const authority = new CertificateAuthority({
      mesh,
      authenticator: { authenticate: () => Promise.resolve({ node: 'node-1' }) },
      workloads: { identitiesOf: () => this.enrolled },
      issuer: () => this.issuer,
      lifeMs: this.lifeMs,
      now: () => this.controllerNow(),
    });
    return await authority.certify({ token: '', csr }, signal);
  }
}

export async function using(
  options: ConstructorParameters<typeof Fixture>[0],
  use: (fixture: Fixture) => Promise<void>,
): Promise<void> {
  const fixture = new Fixture(options);
  try {
    await use(fixture);
  } finally {
    await fixture.identities.close();
  }
}

export const away = () => Promise.resolve(new WeftError('WEFT-E223', 'away'));

export function leafOf(credentials: Credentials): X509Certificate {
  return new X509Certificate(credentials.certificates[0] ?? '');
}
