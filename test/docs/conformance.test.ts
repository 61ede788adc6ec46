import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

const root = new URL('../../', import.meta.url);
const document = readFileSync(new URL('docs/conformance.md', root), 'utf8');

/** By the names of their files. */
const sources = new Map(
  ['native/test/', 'test/e2e/'].flatMap((folder) =>
    readdirSync(new URL(folder, root))
      .filter((name) => /[_.]test\.(cc|ts)$/.test(name))
      .map((name) => [name, readFileSync(new URL(folder + name, root), 'utf8')] as const),
  ),
);

interface Named {
  readonly file: string;
  readonly name: string;
}

/** Of the tables that tell by which tests something is shown. */
function rows(): { row: string; named: Named[] }[] {
  const lines = document.split('\n');
  const heads = lines.flatMap((line, index) => (/^\|.*\| shown by +\|$/.test(line) ? [index] : []));
  const body = heads.flatMap((head) => {
    const end = lines.findIndex((line, index) => index > head && !line.startsWith('|'));
    return lines.slice(head + 2, end);
  });
  return body.map((row) => ({ row, named: namedIn(row) }));
}

function namedIn(row: string): Named[] {
  return [...row.matchAll(/`([\w.-]+)`: ((?:"[^"]*"(?:; )?)+)/g)].flatMap(([, file = '', names = '']) =>
    [...names.matchAll(/"([^"]*)"/g)].map(([, name = '']) => ({ file, name })),
  );
}

/** As TEST() or test() has it. What stands behind a name, and a number before it, may differ from run to run. */
function hasTest(source: string, name: string): boolean {
  const literal = name.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
  return new RegExp(`\\b(?:TEST|test)\\(["'\`](?:\\$\\{\\w+\\} )?${literal}(?:: \\$\\{place\\})?["'\`]`).test(source);
}

test('every duty of the document is shown by a test, and every test that it names exists', () => {
  const all = rows();
  assert.ok(all.length > 40, `${all.length} rows`);
  for (const { row, named } of all) {
    assert.ok(named.length > 0, `no test is named: ${row}`);
    for (const { file, name } of named) {
      const source = sources.get(file);
      assert.ok(source !== undefined, `no file ${file}`);
      assert.ok(hasTest(source, name), `${file} has no test "${name}"`);
    }
  }
});
