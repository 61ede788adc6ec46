import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { WeftError, errorCodes } from './errors.ts';

const documentation = readFileSync(new URL('../docs/errors.md', import.meta.url), 'utf8');
/** Body by title; a title is what an anchor is made of. */
const sections = new Map(
  documentation
    .split(/^## /m)
    .slice(1)
    .map((section) => [section.slice(0, section.indexOf('\n')), section.slice(section.indexOf('\n'))]),
);

test('every code has a hint', () => {
  for (const code of errorCodes) {
    const cause = new Error('why');
    const error = new WeftError(code, 'what', { cause });
    assert.match(code, /^WEFT-E\d{3}$/);
    assert.notEqual(error.hint, '');
    assert.equal(error.cause, cause);
  }
});

test('docs/errors.md has a section for every code, and for nothing else', () => {
  const codes: readonly string[] = errorCodes;
  assert.deepEqual(
    {
      'codes without a section': codes.filter((code) => !sections.has(code)),
      'sections without a code': [...sections.keys()].filter((title) => !codes.includes(title)),
    },
    { 'codes without a section': [], 'sections without a code': [] },
  );
  assert.deepEqual([...sections.keys()], [...sections.keys()].sort(), 'sections are in the order of the codes');
  assert.equal(documentation.match(/^## /gm)?.length, sections.size, 'no section is there twice');
});

test('every section tells what the code means, how it is seen, what to look at and what to do', () => {
  for (const [code, text] of sections) {
    const [meaning, seen, look, act] = text.split(/^\*\*(?:Seen as|Look at|Do)\*\* /m);
    for (const part of [meaning, seen, look, act]) assert.match(part?.trim() ?? '', /\w{2}[^]*\.$/, code);
  }
});

test('links within the documentation lead to sections', () => {
  const anchors = [...sections.keys()].map((title) => title.toLowerCase());
  for (const [link, anchor = ''] of documentation.matchAll(/\]\(#([^)]*)\)/g))
    assert.ok(anchors.includes(anchor), link);
});
