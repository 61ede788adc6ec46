import assert from 'node:assert/strict';
import { createPrivateKey } from 'node:crypto';
import { test } from 'node:test';
import { inspect } from 'node:util';

import { createAuthority } from '../../../control-plane/identity/new-authority.ts';
import { settle } from './test-clock.ts';
import { api, hourMs, leafOf, using, web } from './test-identities.ts';

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
