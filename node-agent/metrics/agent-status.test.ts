import assert from 'node:assert/strict';
import { test } from 'node:test';

import { WeftError } from '../../mesh/errors.ts';
import type { LeafStatus } from '../main/identity/leaf-keeper.ts';
import type { IdentitiesStatus } from '../main/identity/node-identities.ts';
import type { AgentStatus } from './agent-status.ts';
import { reasonsNotReady } from './agent-status.ts';

const ready: AgentStatus = {
  hasStarted: true,
  pods: 1,
  workers: { wanted: 2, running: 2, restarts: 0 },
  isDirectoryConnected: true,
  directoryError: undefined,
  knowsMesh: true,
  identities: { isReady: true, identities: [], clockSkewMs: 0, clockError: undefined },
};

function withIdentities(changed: Partial<IdentitiesStatus>): AgentStatus {
  return { ...ready, identities: { ...ready.identities, ...changed } };
}

function withLeaf(state: LeafStatus['state'], error?: WeftError): AgentStatus {
  return withIdentities({ identities: [{ identity: 'web.shop.mesh', state, notAfter: undefined, error }] });
}

const refused = new WeftError('WEFT-E223', 'the controller gave no certificate');
const skewed = new WeftError('WEFT-E220', 'the clock is 90 s ahead');

test('an agent that can do its work has no reason not to be ready', () => {
  const cases: AgentStatus[] = [
    ready,
    withLeaf('valid'),
    withLeaf('valid', refused), // renewal has failed, the leaf lasts
    { ...ready, isDirectoryConnected: false }, // it goes on with what it knows
    { ...ready, knowsMesh: false },
    { ...ready, pods: 0 },
    { ...ready, workers: { wanted: 2, running: 1, restarts: 9 } },
  ];
  for (const status of cases) assert.deepEqual(reasonsNotReady(status), []);
});

test('each reason is told', () => {
  const cases: [string, AgentStatus][] = [
    ['the agent is starting', { ...ready, hasStarted: false }],
    ['no worker runs', { ...ready, workers: { wanted: 2, running: 0, restarts: 2 } }],
    ['WEFT-E306 the controller has not been reached yet', { ...ready, isDirectoryConnected: false, knowsMesh: false }],
    ['WEFT-E220 the clock is 90 s ahead', withIdentities({ clockError: skewed })],
    ['WEFT-E220 the clock is 90 s ahead', { ...ready, isDirectoryConnected: false, directoryError: skewed }],
    ['web.shop.mesh has no certificate yet', withLeaf('waiting')],
    [
      'web.shop.mesh has no certificate yet: WEFT-E223 the controller gave no certificate',
      withLeaf('waiting', refused),
    ],
    ['the certificate of web.shop.mesh has expired', withLeaf('expired')],
    [
      'the certificate of web.shop.mesh has expired: WEFT-E223 the controller gave no certificate',
      withLeaf('expired', refused),
    ],
  ];
  for (const [reason, status] of cases) assert.deepEqual(reasonsNotReady(status), [reason]);
});

test('all reasons are told at once, of each identity its own', () => {
  const identities = (['waiting', 'valid', 'expired'] as const).map((state) => ({
    identity: `${state}.shop.mesh`,
    state,
    notAfter: undefined,
    error: undefined,
  }));
  const status = {
    ...withIdentities({ identities, clockError: skewed }),
    hasStarted: false,
    workers: { wanted: 1, running: 0, restarts: 0 },
    isDirectoryConnected: false,
    knowsMesh: false,
  };
  assert.deepEqual(reasonsNotReady(status), [
    'the agent is starting',
    'no worker runs',
    'WEFT-E306 the controller has not been reached yet',
    'WEFT-E220 the clock is 90 s ahead',
    'waiting.shop.mesh has no certificate yet',
    'the certificate of expired.shop.mesh has expired',
  ]);
});
