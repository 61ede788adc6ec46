import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

import { installed, preInstallation } from './categories/all.ts';

const text = readFileSync(new URL('../../docs/checks.md', import.meta.url), 'utf8');
const titles = [...text.matchAll(/^## (.*)$/gm)].map(([, title = '']) => title);
const checks = [...preInstallation, ...installed(undefined)].flatMap((category) => category.checks);

test('docs/checks.md has a section for every check, and for nothing else, in the order of the output', () => {
  const ids = [...new Set(checks.map(({ id }) => id))];
  assert.deepEqual(titles, ids);
});

test('docs/checks.md says which checks are fatal, warn and are tried again', () => {
  for (const { id, severity, isRetried = false } of checks) {
    const section = text.split(`\n## ${id}\n`)[1]?.split('\n#')[0] ?? '';
    const [marks = ''] = /^\s*(?:(?:Fatal|Warning|Tried again|Warning, tried again)\.)?/.exec(section) ?? [];
    assert.equal(marks.includes('Fatal'), severity === 'fatal', id);
    assert.equal(marks.includes('Warning'), severity === 'warning', id);
    assert.equal(/tried again/i.test(marks), isRetried, id);
  }
});

for (const name of ['checks', 'cli', 'getting-started', 'threat-model'])
  test(`links of docs/${name}.md lead somewhere`, () => {
    const own = new URL(`../../docs/${name}.md`, import.meta.url);
    for (const [, file = '', anchor = ''] of readFileSync(own, 'utf8').matchAll(/\]\(([^)#]*)(?:#([^)]*))?\)/g)) {
      const url = file === '' ? own : new URL(`../../docs/${file}`, import.meta.url);
      assert.ok(existsSync(url), file);
      if (anchor !== '') assert.match(readFileSync(url, 'utf8').toLowerCase(), new RegExp(`^## ${anchor}$`, 'm'));
    }
  });
