import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { MessageToMain } from './messages.ts';
import { ProofReports } from './proof-reports.ts';

function setUp(): { proofs: ProofReports; sent: MessageToMain[]; pass: (ms: number) => void } {
  let now = 1_000_000;
  const sent: MessageToMain[] = [];
  const proofs = new ProofReports(
    (message) => sent.push(message),
    () => now,
  );
  return { proofs, sent, pass: (ms) => (now += ms) };
}

test('an arrival is reported while main asks, and not after', () => {
  const { proofs, sent } = setUp();
  proofs.expect(7);
  proofs.arrived(7, 'outbound', 40000);
  proofs.arrived(8, 'outbound', 40001);
  proofs.forget(7);
  proofs.arrived(7, 'inbound', 40002);
  assert.deepEqual(sent, [{ type: 'proof', pod: 7, direction: 'outbound', remotePort: 40000 }]);
});

test('a connection that overtakes the question is not lost, an old one is', () => {
  const { proofs, sent, pass } = setUp();
  proofs.arrived(7, 'inbound', 40000);
  pass(50);
  proofs.expect(7);
  assert.deepEqual(sent, [{ type: 'proof', pod: 7, direction: 'inbound', remotePort: 40000 }]);
  proofs.arrived(8, 'inbound', 40001);
  pass(5001);
  proofs.expect(8);
  assert.equal(sent.length, 1);
});

test('a pod that dials all the time is reported ten times a second', () => {
  const { proofs, sent, pass } = setUp();
  proofs.expect(7);
  for (let ms = 0; ms < 1000; ms++) {
    proofs.arrived(7, 'outbound', 40000);
    pass(1);
  }
  assert.equal(sent.length, 10);
  proofs.arrived(7, 'inbound', 40001);
  assert.equal(sent.length, 11, 'the other direction has a limit of its own');
});
