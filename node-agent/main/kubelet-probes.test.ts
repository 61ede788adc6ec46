import assert from 'node:assert/strict';
import { test } from 'node:test';

import { followKubelet } from './kubelet-probes.ts';

test('a kubelet that starts again is followed and told of; what keeps failing is told once', async () => {
  const stop = new AbortController();
  const lines: string[] = [];
  const failing = (): never => {
    throw new Error('no such device');
  };
  const answers = [() => false, () => true, failing, failing, () => false, failing];
  const capture = {
    followKubelet: () => {
      const answer = answers.shift();
      if (answers.length === 0) stop.abort();
      return answer?.() ?? false;
    },
  };
  const note =
    (level: string) =>
    (_: object, message = '') =>
      void lines.push(`${level} ${message.slice(0, 17)}`);
  await followKubelet(capture, { info: note('info'), warn: note('warn') } as never, stop.signal, 1);
  assert.deepEqual(lines, ['info the kubelet has a', "warn the kubelet's cgr", "warn the kubelet's cgr"]);
  assert.equal(answers.length, 0);
});
