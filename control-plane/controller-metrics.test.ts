import assert from 'node:assert/strict';
import { test } from 'node:test';

import { parseExposition } from '../admin/test-exposition.ts';
import { ControllerCounts, createControllerRegistries, reasonsNotReady } from './controller-metrics.ts';

const hourMs = 3_600_000;
const status = { hasStarted: true, workloads: 12, streams: 3, issuerNotAfter: new Date(Date.now() + hourMs) };

test('what was signed, refused and logged is counted by its result', async () => {
  const counts = new ControllerCounts();
  counts.certificate('signed');
  counts.certificate('signed');
  counts.certificate('WEFT-E205');
  counts.problem('WEFT-E304');
  const { text } = createControllerRegistries(counts, () => status);
  for (let scrape = 0; scrape < 2; scrape++) {
    const metrics = await text.metrics();
    assert.match(metrics, /^weft_certificates_total\{result="signed"\} 2$/m);
    assert.match(metrics, /^weft_certificates_total\{result="WEFT-E205"\} 1$/m);
    assert.match(metrics, /^weft_controller_errors_total\{code="WEFT-E304"\} 1$/m);
    assert.match(metrics, /^weft_directory_streams 3$/m);
    assert.match(metrics, /^weft_workloads 12$/m);
    const seconds = Number(/^issuer_cert_ttl_seconds (\S+)$/m.exec(metrics)?.[1]);
    assert.ok(seconds > 3590 && seconds <= 3600, String(seconds));
  }
});

test('both formats can be read', async () => {
  const { text, openMetrics } = createControllerRegistries(new ControllerCounts(), () => status);
  parseExposition(await text.metrics(), 'text');
  parseExposition(await openMetrics.metrics(), 'openMetrics');
});

test('a controller is ready once it knows the objects, and while its issuer is valid', () => {
  assert.deepEqual(reasonsNotReady(status), []);
  assert.deepEqual(reasonsNotReady({ ...status, hasStarted: false }), ['the objects have not been read yet']);
  const issuerNotAfter = new Date(0);
  assert.deepEqual(reasonsNotReady({ ...status, issuerNotAfter }), [
    'WEFT-E212 the chain of the issuer expired at 1970-01-01T00:00:00.000Z',
  ]);
});
