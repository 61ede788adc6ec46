import assert from 'node:assert/strict';
import { X509Certificate, createPrivateKey } from 'node:crypto';
import { test } from 'node:test';
import { inspect } from 'node:util';

import { CertificateAuthority } from '../../../control-plane/identity/certificate-authority.ts';
import type { Issuer, IssuerTexts } from '../../../control-plane/identity/issuer.ts';
import { readIssuer } from '../../../control-plane/identity/issuer.ts';
import { createAuthority } from '../../../control-plane/identity/new-authority.ts';
import { mesh } from '../../../control-plane/identity/test-identity.ts';
import { WeftError } from '../../../mesh/errors.ts';
import { Credentials } from './credentials.ts';
import type { Certificate } from './issued-leaf.ts';
import type { NodeIdentitiesOptions } from './node-identities.ts';
import { NodeIdentities } from './node-identities.ts';
import { TestClock, settle } from './test-clock.ts';

const web = 'web.shop.serviceaccount.identity.weft-system.cluster.local';
const api = 'api.shop.serviceaccount.identity.weft-system.cluster.local';
const hourMs = 3_600_000;
const start = 1_800_000_000_000;

/** A controller and a node, each with its clock. */
class Fixture {
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

async function using(
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

const away = () => Promise.resolve(new WeftError('WEFT-E223', 'away'));

function leafOf(credentials: Credentials): X509Certificate {
  return new X509Certificate(credentials.certificates[0] ?? '');
}

test('a wanted identity gets a key and a leaf that belong together', () =>
  using({}, async (fixture) => {
    const { identities, told } = fixture;
    identities.want(new Set([web, api]));
    assert.equal(identities.status.isReady, false);
    assert.deepEqual(
      identities.status.identities.map(({ state }) => state),
      ['waiting', 'waiting'],
    );
    await settle();
    assert.deepEqual(told.map(({ identity }) => identity).sort(), [api, web]);
    for (const credentials of told) {
      const key = createPrivateKey({ key: Buffer.from(credentials.privateKey), format: 'der', type: 'pkcs8' });
      assert.ok(leafOf(credentials).checkPrivateKey(key));
      assert.ok(leafOf(credentials).subjectAltName?.includes(credentials.identity));
      assert.equal(credentials.certificates.length, 2);
      assert.equal(credentials.trustAnchors.length, 1);
    }
    assert.equal(identities.status.isReady, true);
    assert.equal(identities.status.clockSkewMs, 0);
    assert.deepEqual(identities.credentials, told);
  }));

test('a leaf is renewed at 70 % of its life with a new key, again and again', () =>
  using({}, async ({ identities, clock, told }) => {
    identities.want(new Set([web]));
    await clock.advance(0.7 * 24 * hourMs - 1);
    assert.equal(told.length, 1);
    await clock.advance(1);
    assert.equal(told.length, 2);
    await clock.advance(70 * 24 * hourMs);
    assert.equal(told.length, 102);
    assert.equal(new Set(told.map((credentials) => Buffer.from(credentials.privateKey).toString('hex'))).size, 102);
    assert.equal(new Set(told.map((credentials) => leafOf(credentials).serialNumber)).size, 102);
  }));

test('chance brings a renewal forward, to 60 % of the life at most', () =>
  using({ random: () => 1 }, async ({ identities, clock, told }) => {
    identities.want(new Set([web]));
    await clock.advance(0.6 * 24 * hourMs - 1);
    assert.equal(told.length, 1);
    await clock.advance(2);
    assert.equal(told.length, 2);
  }));

test('lives of seconds are renewed in time; the shortest wait is a second', () =>
  using({}, async (fixture) => {
    const { identities, clock, told } = fixture;
    fixture.lifeMs = 3000;
    identities.want(new Set([web]));
    await clock.advance(21_000);
    assert.equal(told.length, 11); // every 2.1 s; a certificate is of whole seconds, so sometimes earlier
    fixture.lifeMs = 0;
    const before = fixture.requests;
    await clock.advance(60_000);
    assert.ok(fixture.requests - before <= 61);
    assert.deepEqual(fixture.errors, []);
  }));

test('while renewal fails the leaf is held until it ends, and the failure is said once', () =>
  using({}, async (fixture) => {
    const { identities, clock, told } = fixture;
    identities.want(new Set([web]));
    await settle();
    fixture.intercept = away;
    await clock.advance(20 * hourMs);
    assert.equal(told.length, 1);
    assert.deepEqual(fixture.codes(), ['WEFT-E223']);
    const [held] = identities.status.identities;
    assert.equal(held?.state, 'valid');
    assert.equal(held.error?.code, 'WEFT-E223');
    assert.equal(identities.status.isReady, true);

    await clock.advance(4 * hourMs + 81_000); // the allowance for skew, and the longest time between two attempts
    assert.deepEqual(fixture.codes(), ['WEFT-E223', 'WEFT-E222']);
    const [expired] = identities.status.identities;
    assert.equal(expired?.state, 'expired');
    assert.equal(expired.error?.code, 'WEFT-E222');
    assert.ok(expired.error.cause instanceof WeftError && expired.error.cause.code === 'WEFT-E223');
    assert.equal(identities.status.isReady, false);

    fixture.intercept = () => Promise.resolve(undefined);
    await clock.advance(5000);
    assert.equal(told.length, 2);
    assert.equal(identities.status.isReady, true);
    assert.equal(identities.status.identities[0]?.error, undefined);
  }));

test('attempts back off: from half a second to five before the first leaf, to a minute after it', () =>
  using({ random: () => 1 }, async (fixture) => {
    const { identities, clock } = fixture;
    const times: number[] = [];
    fixture.intercept = () => {
      times.push(clock.monotonic());
      return away();
    };
    const gaps = () => times.slice(1).map((time, index) => time - (times[index] ?? 0));
    identities.want(new Set([web]));
    await clock.advance(30_000);
    assert.deepEqual(gaps().slice(0, 6), [500, 1000, 2000, 4000, 5000, 5000]);

    fixture.intercept = () => Promise.resolve(undefined);
    await clock.advance(5000);
    fixture.intercept = () => {
      times.push(clock.monotonic());
      return away();
    };
    times.length = 0;
    await clock.advance(16 * hourMs);
    assert.deepEqual(gaps().slice(0, 9), [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
  }));

test('an answer that does not come is waited for ten seconds; one that throws is a failure', () =>
  using({}, async (fixture) => {
    const { identities, clock } = fixture;
    let isAborted = false;
    fixture.intercept = (signal) => {
      signal.addEventListener('abort', () => (isAborted = true));
      return new Promise(() => undefined);
    };
    identities.want(new Set([web]));
    await clock.advance(9999);
    assert.deepEqual(fixture.codes(), []);
    fixture.intercept = () => Promise.reject(new Error('ECONNRESET'));
    await clock.advance(1);
    assert.ok(isAborted);
    assert.deepEqual(fixture.codes(), ['WEFT-E223']);
    await clock.advance(1000);
    assert.ok(fixture.requests > 1);
    const cause = identities.status.identities[0]?.error?.cause;
    assert.ok(cause instanceof Error && cause.message === 'ECONNRESET');
  }));

test('identities come and go with the pods of the node', () =>
  using({}, async (fixture) => {
    const { identities, clock, told, released } = fixture;
    identities.want(new Set([web]));
    await settle();
    identities.want(new Set([web, api]));
    await settle();
    assert.deepEqual(
      told.map(({ identity }) => identity),
      [web, api],
    );
    identities.want(new Set([api]));
    assert.deepEqual(released, [web]);
    assert.deepEqual(
      identities.credentials.map(({ identity }) => identity),
      [api],
    );
    await clock.advance(17 * hourMs);
    assert.deepEqual(
      told.map(({ identity }) => identity),
      [web, api, api],
    );
  }));

test('an identity that went while it was asked for is not told of', () =>
  using({}, async (fixture) => {
    const answers: (() => void)[] = [];
    fixture.intercept = () => new Promise((resolve) => answers.push(() => resolve(undefined)));
    fixture.identities.want(new Set([web]));
    await settle();
    fixture.identities.want(new Set());
    for (const answer of answers) answer();
    await settle();
    assert.deepEqual(fixture.told, []);
    assert.deepEqual(fixture.errors, []);
  }));

test('a refusal of the controller is the reason why the node is not ready', () =>
  using({}, async (fixture) => {
    fixture.enrolled.delete(web);
    fixture.identities.want(new Set([web, api]));
    await fixture.clock.advance(10_000);
    assert.deepEqual(fixture.codes(), ['WEFT-E205']);
    const { isReady, identities } = fixture.identities.status;
    assert.equal(isReady, false);
    assert.deepEqual(
      identities.map(({ identity, state, error }) => [identity, state, error?.code]),
      [
        [web, 'waiting', 'WEFT-E205'],
        [api, 'valid', undefined],
      ],
    );
  }));

test('many identities are asked for a few at a time', () =>
  using({}, async (fixture) => {
    const answers: (() => void)[] = [];
    fixture.intercept = () => new Promise((resolve) => answers.push(() => resolve(undefined)));
    const many = new Set(Array.from({ length: 100 }, (_, index) => web.replace('web', `web-${index}`)));
    for (const identity of many) fixture.enrolled.add(identity);
    fixture.identities.want(many);
    await settle();
    let most = answers.length;
    while (fixture.told.length < 100) {
      for (const answer of answers.splice(0)) answer();
      await settle();
      most = Math.max(most, answers.length);
    }
    assert.equal(most, 8);
  }));

test('a new bundle of anchors is in force for all identities, whichever way it comes', () =>
  using({}, async (fixture) => {
    const { identities, clock, told } = fixture;
    identities.want(new Set([web]));
    await clock.advance(hourMs);
    const old = fixture.issuer;
    const next = fixture.issuerOf(createAuthority({ now: fixture.controllerNow() }));
    fixture.issuer = { ...next, anchors: [...old.anchors, ...next.anchors] };
    identities.want(new Set([web, api]));
    await settle();
    const latest = () => new Map(told.map((credentials) => [credentials.identity, credentials]));
    assert.deepEqual(
      [...latest().values()].map(({ trustAnchors }) => trustAnchors.length),
      [2, 2],
    );
    assert.equal(fixture.requests, 2, "the old anchor still leads to web's leaf");

    const before = told.length;
    identities.trust([...next.anchors, ...old.anchors], old.certificate);
    assert.equal(told.length, before, 'another order is no other bundle');

    // The old anchor goes before the last leaf below it was renewed.
    fixture.issuer = next;
    identities.trust(next.anchors, next.certificate);
    await settle();
    assert.equal(fixture.requests, 3, 'web is renewed at once');
    for (const credentials of latest().values()) {
      assert.deepEqual(credentials.trustAnchors, next.anchors);
      assert.deepEqual(credentials.certificates[1], next.chain[0]);
    }
  }));

test('leaves of an issuer that was replaced are renewed within 10 s, once', () =>
  using({ random: () => 0.5 }, async (fixture) => {
    const { identities, clock, told } = fixture;
    identities.want(new Set([web, api]));
    await clock.advance(hourMs);
    const old = fixture.issuer;
    const next = fixture.issuerOf(createAuthority({ now: fixture.controllerNow() }));
    const anchors = [...old.anchors, ...next.anchors];
    identities.trust(anchors, old.certificate);
    await clock.advance(hourMs);
    assert.equal(fixture.requests, 2, 'they are of this issuer');

    fixture.issuer = { ...next, anchors };
    identities.trust(anchors, next.certificate);
    await clock.advance(4999);
    assert.equal(fixture.requests, 2);
    await clock.advance(1);
    assert.equal(fixture.requests, 4);
    for (const credentials of told.slice(-2)) assert.deepEqual(credentials.certificates[1], next.chain[0]);
    identities.trust(anchors, next.certificate);
    await clock.advance(hourMs);
    assert.equal(fixture.requests, 4);
  }));

test("the directory's word on the anchors counts more than an older bundle that comes with a leaf", () =>
  using({}, async (fixture) => {
    const { identities, clock, told } = fixture;
    identities.want(new Set([web]));
    await clock.advance(hourMs);
    const old = fixture.issuer;
    const next = fixture.issuerOf(createAuthority({ now: fixture.controllerNow() }));
    identities.trust([...old.anchors, ...next.anchors], old.certificate);
    await clock.advance(17 * hourMs);
    assert.equal(fixture.requests, 2);
    assert.deepEqual(fixture.last.trustAnchors, [...old.anchors, ...next.anchors]);
    assert.deepEqual(identities.credentials, told.slice(-1));
  }));

test('what an earlier agent had is used without the controller, and renewed in its time', () =>
  using({}, async (earlier) => {
    earlier.identities.want(new Set([web, api]));
    await settle();
    const saved = [...earlier.told];
    await using({ saved }, async (fixture) => {
      const { identities, clock, told } = fixture;
      fixture.issuer = earlier.issuer;
      fixture.intercept = away;
      await clock.advance(2 * hourMs);
      identities.want(new Set([web]));
      await settle();
      assert.deepEqual(told, [saved.find(({ identity }) => identity === web)]);
      assert.equal(identities.status.identities[0]?.state, 'valid');
      await clock.advance((0.7 * 24 - 2) * hourMs - 1000);
      assert.equal(fixture.requests, 0);
      await clock.advance(1000);
      assert.equal(fixture.requests, 1);
      identities.want(new Set([web, api]));
      fixture.intercept = () => Promise.resolve(undefined);
      await settle();
      assert.deepEqual(
        told[1],
        saved.find(({ identity }) => identity === api),
        'it is used until it is renewed',
      );
      await clock.advance(5 * hourMs);
      assert.deepEqual(new Set(told.slice(-2).map(({ identity }) => identity)), new Set([web, api]));
    });
  }));

test('what an earlier agent had is not used where it has expired or is of another name', () =>
  using({}, async (earlier) => {
    earlier.identities.want(new Set([web]));
    await settle();
    const { certificates, trustAnchors, notAfter, privateKey: der } = earlier.last;
    const key = createPrivateKey({ key: Buffer.from(der), format: 'der', type: 'pkcs8' });
    const misnamed = new Credentials({ identity: api, certificates, trustAnchors, notAfter }, key);
    await using({ saved: [earlier.last, misnamed] }, async (fixture) => {
      fixture.issuer = earlier.issuer;
      await fixture.clock.advance(25 * hourMs);
      fixture.identities.want(new Set([web, api]));
      await settle();
      assert.equal(fixture.requests, 2);
    });
  }));

test('an answer that is not what was asked for is not used', () =>
  using({}, async (fixture) => {
    const { identities, clock, told } = fixture;
    identities.want(new Set([web, api]));
    await settle();
    const [first, second] = told;
    assert.ok(first && second);
    const { certificates: chain, trustAnchors: anchors, notAfter } = second;
    const strangers = fixture.issuerOf(createAuthority({ now: fixture.controllerNow() })).anchors;
    identities.want(new Set([web]));
    for (const [answer, reason] of [
      [{ chain, anchors, notAfter }, /another key/],
      [{ chain: [], anchors, notAfter }, /cannot be read/],
      [{ chain: [Buffer.from('x')], anchors, notAfter }, /cannot be read/],
      [{ chain, anchors: [Buffer.from('x')], notAfter }, /anchor that cannot be read/],
    ] as const) {
      fixture.intercept = () => Promise.resolve(answer);
      await clock.advance(17 * hourMs);
      const error = identities.status.identities[0]?.error;
      assert.equal(error?.code, 'WEFT-E221');
      assert.match(error.message, reason);
      fixture.intercept = () => Promise.resolve(undefined);
      await clock.advance(hourMs);
      assert.equal(identities.status.identities[0]?.error, undefined);
    }
    fixture.issuer = { ...fixture.issuer, anchors: strangers };
    await clock.advance(17 * hourMs);
    assert.match(identities.status.identities[0]?.error?.message ?? '', /does not lead to a trust anchor/);
  }));

test('a clock 15 s away is nothing; one an hour away is named with its difference', async () => {
  for (const controllerAheadMs of [15_000, -15_000]) {
    await using({ controllerAheadMs }, async ({ identities, errors }) => {
      identities.want(new Set([web]));
      await settle();
      assert.equal(identities.status.isReady, true);
      assert.ok(Math.abs((identities.status.clockSkewMs ?? NaN) + controllerAheadMs) <= 1000);
      assert.deepEqual(errors, []);
    });
  }
  for (const [controllerAheadMs, words] of [
    [hourMs, /3600 s behind/],
    [-hourMs, /3599 s ahead of|3600 s ahead of/],
  ] as const) {
    await using({ controllerAheadMs }, async (fixture) => {
      const { identities, clock, told } = fixture;
      identities.want(new Set([web]));
      await settle();
      const { isReady, clockError } = identities.status;
      assert.equal(isReady, false);
      assert.equal(clockError?.code, 'WEFT-E220');
      assert.match(clockError.message, words);
      assert.deepEqual(fixture.codes(), ['WEFT-E220']);

      // Peers go by their own clocks, so the leaf is used, and renewed by its life.
      assert.equal(told.length, 1);
      await clock.advance(0.7 * 24 * hourMs);
      assert.equal(told.length, 2);
      assert.deepEqual(fixture.codes(), ['WEFT-E220'], 'said once');

      clock.setForward(controllerAheadMs);
      assert.equal(identities.status.isReady, true, 'as soon as the clock is set');
    });
  }
});

test('a clock that is set far forward has leaves renewed rather than trusted', () =>
  using({}, async ({ identities, clock, told }) => {
    identities.want(new Set([web]));
    await settle();
    clock.setForward(20 * hourMs);
    assert.equal(identities.status.clockError?.code, 'WEFT-E220');
    await clock.advance(60_000);
    assert.equal(told.length, 2);
  }));

test('keys do not show in anything that is printed, cloned or serialised', () =>
  using({}, async ({ identities, told }) => {
    identities.want(new Set([web]));
    await settle();
    const [credentials] = told;
    assert.ok(credentials);
    const shown = [
      JSON.stringify({ credentials, identities }),
      inspect({ credentials, identities }, { depth: Infinity, showHidden: true, getters: true }),
      inspect(structuredClone(credentials), { depth: Infinity }),
      JSON.stringify(Object.assign({}, credentials)),
      JSON.stringify(identities.status),
    ].join('\n');
    assert.ok(shown.includes(web));
    assert.ok(!shown.includes('privateKey'));
    const scalar = Buffer.from(credentials.privateKey).subarray(36, 68); // of PKCS #8 on P-256
    for (const form of [scalar.toString('hex'), scalar.toString('base64').slice(0, 40), [...scalar].join(',')]) {
      assert.ok(!shown.includes(form));
    }
    const bytes = [...scalar].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
    assert.ok(!shown.includes(bytes));
  }));
