import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';

import fc from 'fast-check';

import { WeftError } from '../../mesh/errors.ts';
import { OpenSsl } from './test-identity.ts';
import { TokenAuthority, newTokenKey, openTokenKey } from './token-authority.ts';

const scratch = new OpenSsl();
after(() => {
  scratch.close();
});

const key = newTokenKey();
const agents = { namespace: 'weft-system', serviceAccount: 'weft-agent' };
let now = 1_800_000_000_000;
const authority = new TokenAuthority({ key, ...agents, now: () => now });
const agent = { node: 'node-1', pod: 'weft-agent-x1' };
const life = { lifeMs: 60_000 };

async function outcomeOf(token: string, by = authority): Promise<string> {
  const result = await by.authenticate(token);
  return result instanceof WeftError ? result.code : result.node;
}

/** Any claims with a good signature. */
function signed(claims: unknown, header: object = { alg: 'HS256', typ: 'JWT' }): string {
  const text = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
  return `${text}.${createHmac('sha256', key).update(text).digest('base64url')}`;
}

const claimsOf = (token: string): Record<string, unknown> =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Record<string, unknown>;

test('a token says on which node its agent is, until it expires', async () => {
  const token = authority.issue(agent, life);
  assert.equal(await outcomeOf(token), 'node-1');
  now += 59_999;
  assert.equal(await outcomeOf(token), 'node-1');
  now += 1;
  assert.equal(await outcomeOf(token), 'WEFT-E207');
  now -= 61_000;
  assert.equal(await outcomeOf(token), 'WEFT-E207', 'nor before it was issued');
  now += 1000;
});

test('each thing that is wrong with a token has its code', async () => {
  const good = claimsOf(authority.issue(agent, life));
  const others = new TokenAuthority({ key: newTokenKey(), ...agents, now: () => now });
  const apps = new TokenAuthority({ key, namespace: 'shop', serviceAccount: 'web', now: () => now });
  const binding = good['kubernetes.io'] as object;
  assert.equal(await outcomeOf(signed(good)), 'node-1');
  for (const [token, code] of [
    ['', 'WEFT-E206'],
    ['a.b.c', 'WEFT-E206'],
    ['x'.repeat(20_000), 'WEFT-E206'],
    [`${authority.issue(agent, life)}.`, 'WEFT-E206'],
    [others.issue(agent, life), 'WEFT-E206'],
    [signed(good, { alg: 'none', typ: 'JWT' }), 'WEFT-E206'],
    [signed(good, { alg: 'HS256' }), 'WEFT-E206'],
    [authority.issue(agent, { ...life, audience: 'kubernetes' }), 'WEFT-E208'],
    [signed({ ...good, aud: 'weft.dev' }), 'WEFT-E208'],
    [signed({ ...good, exp: undefined }), 'WEFT-E207'],
    [apps.issue(agent, life), 'WEFT-E209'],
    [authority.issue({ ...agent, node: '' }, life), 'WEFT-E209'],
    [authority.issue({ ...agent, pod: '' }, life), 'WEFT-E209'],
    [signed({ ...good, 'kubernetes.io': { ...binding, node: null } }), 'WEFT-E209'],
    [signed({ ...good, 'kubernetes.io': 'node-1' }), 'WEFT-E209'],
    [signed([]), 'WEFT-E208'],
    [signed(null), 'WEFT-E208'],
  ] as const) {
    assert.equal(await outcomeOf(token), code, token.slice(0, 200));
  }
});

test('no token that was changed is good', async () => {
  const token = authority.issue(agent, life);
  await fc.assert(
    fc.asyncProperty(fc.nat(token.length - 1), fc.string({ minLength: 0, maxLength: 3 }), async (at, text) => {
      const changed = token.slice(0, at) + text + token.slice(at + 1);
      if (changed !== token) assert.equal(await outcomeOf(changed), 'WEFT-E206');
    }),
    { numRuns: 3000 },
  );
});

test('a refusal does not show the token', async () => {
  const token = authority.issue(agent, { ...life, audience: 'other' });
  const result = await authority.authenticate(token);
  assert.ok(result instanceof WeftError);
  assert.ok(!result.message.includes(token.slice(-20)));
});

test('a key is made once, for its owner only, and kept', async () => {
  const path = join(scratch.folder, 'token.key');
  const [first, second] = await Promise.all([openTokenKey(path), openTokenKey(path)]);
  const third = await openTokenKey(path);
  assert.ok(!(first instanceof WeftError) && !(second instanceof WeftError) && !(third instanceof WeftError));
  assert.ok(first.equals(second) && second.equals(third));
  assert.equal(statSync(path).mode & 0o777, 0o600);
  const token = new TokenAuthority({ key: first, ...agents, now: () => now }).issue(agent, life);
  assert.equal(await outcomeOf(token, new TokenAuthority({ key: third, ...agents, now: () => now })), 'node-1');
});

test('a key of another length is refused', async () => {
  const path = join(scratch.folder, 'short.key');
  writeFileSync(path, 'short');
  const result = await openTokenKey(path);
  assert.ok(result instanceof WeftError && result.code === 'WEFT-E213');
});
