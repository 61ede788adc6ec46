import assert from 'node:assert/strict';
import { createPrivateKey } from 'node:crypto';
import { test } from 'node:test';

import { WeftError } from '../../../mesh/errors.ts';
import { Credentials } from './credentials.ts';
import { settle } from './test-clock.ts';
import { api, away, hourMs, leafOf, using, web } from './test-identities.ts';

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
