import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { clusterFolder } from './layout.ts';
import { keepWeftLogs, troublesIn } from './weft-logs.ts';

test('of all logs of a cluster those of Weft are kept, and of those the last troubles told', (t) => {
  const name = `logs${process.pid % 10_000}`;
  const kept = mkdtempSync(join(tmpdir(), 'weft-logs-'));
  t.after(() => {
    delete process.env['WEFT_E2E_LOGS'];
    for (const folder of [kept, clusterFolder(name)]) rmSync(folder, { recursive: true, force: true });
  });
  const write = (machine: string, file: string, ...lines: string[]): void => {
    const path = join(clusterFolder(name), machine, 'var/log', file);
    mkdirSync(join(path, '..'), { recursive: true });
    writeFileSync(path, lines.map((line) => `${line}\n`).join(''));
  };
  const errors = Array.from({ length: 20 }, (_, index) => `{"level":50,"msg":"error ${index}"}`);
  const container = '2026-11-21T21:00:00.000000000Z stderr F ';
  write('control', 'weft-controller.log', '{"level":30,"msg":"ready"}', ...errors);
  write('node1', 'weft-agent.log', '{"level":30,"msg":"ready"}');
  write('node1', 'kubelet.log', 'E1121 something');
  write('node2', 'pods/weft-system_weft-agent-x_1/agent/0.log', `${container}Error: ${'x'.repeat(1000)}`);
  write('node2', 'pods/shop_web-x_2/main/0.log', `${container}Error`);
  keepWeftLogs(name);
  assert.deepEqual(readdirSync(kept), [], 'nobody wants them');

  process.env['WEFT_E2E_LOGS'] = kept;
  keepWeftLogs(name);
  const lines = troublesIn(kept);
  assert.deepEqual(
    lines.filter((line) => !line.startsWith(' ')),
    ['control weft-controller.log', 'node2 pods weft-system_weft-agent-x_1 agent 0.log'],
  );
  assert.deepEqual([lines[1], lines[12]], ['  {"level":50,"msg":"error 8"}', '  {"level":50,"msg":"error 19"}']);
  assert.match(lines.at(-1) ?? '', /^ {2}Error: x{393}…$/);
});
