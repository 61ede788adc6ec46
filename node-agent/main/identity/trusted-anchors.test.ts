import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createAuthority } from '../../../control-plane/identity/new-authority.ts';
import { settle } from './test-clock.ts';
import { api, hourMs, using, web } from './test-identities.ts';

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
