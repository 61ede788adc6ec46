import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

/** What the lines of one process say that logs `error`. */
function logged(error: string): Record<string, unknown> {
  const program = `
    import { createLogger } from ${JSON.stringify(new URL('./log.ts', import.meta.url).href)};
    createLogger('info', 'test').error({ error: ${error} }, 'it failed');`;
  const { stderr } = spawnSync(process.execPath, ['--input-type=module-typescript', '--eval', program], {
    encoding: 'utf8',
    timeout: 10_000,
  });
  return JSON.parse(stderr) as Record<string, unknown>;
}

test('an error is logged with message, stack and causes', () => {
  const { error, msg } = logged("new TypeError('outer', { cause: new Error('inner') })") as {
    error: Record<string, string>;
    msg: string;
  };
  assert.equal(msg, 'it failed');
  assert.equal(error['type'], 'TypeError');
  assert.equal(error['message'], 'outer: inner');
  assert.match(error['stack'] ?? '', /^TypeError: outer\n {4}at /);
});

test('what is no error is logged as it is', () => {
  assert.equal(logged("'errno 24'")['error'], 'errno 24');
});
