/** Whatever the runtime writes, stdout is JSON and the plugin reads it as the agent does. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { Runtime, runPlugin } from './plugin.ts';

const runs = Number(process.env['WEFT_CNI_RUNS'] ?? 300);

function parses(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** A text of which some bytes are taken out, put in or changed. */
const mutated = (text: fc.Arbitrary<string>): fc.Arbitrary<Buffer> =>
  fc
    .tuple(
      text,
      fc.array(
        fc.tuple(fc.nat(), fc.nat(2), fc.constantFrom(...Buffer.from('{}[]",:\\u019.-+eEtfn \n\0\xff', 'latin1'))),
        {
          maxLength: 3,
        },
      ),
    )
    .map(([original, mutations]) => {
      const bytes = [...Buffer.from(original)];
      for (const [at, removed, added] of mutations) bytes.splice(at % (bytes.length + 1), removed, added);
      return Buffer.from(bytes);
    });

async function agreesWithJsonParse(stdin: Buffer): Promise<void> {
  const { status, stdout, error } = await runPlugin({ CNI_COMMAND: 'VERSION' }, stdin);
  const isObject = parses(stdin.toString()) && stdin.toString().trimStart().startsWith('{');
  assert.equal(status, isObject ? 0 : 1, stdout);
  if (!isObject) assert.equal(error.code, 6);
}

test('the plugin and JSON.parse agree on what is JSON', async () => {
  const values = fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue({ maxDepth: 5, stringUnit: 'binary' }));
  const texts = fc.tuple(values, fc.nat(2)).map(([value, indent]) => JSON.stringify(value, null, indent));
  await fc.assert(fc.asyncProperty(mutated(texts), agreesWithJsonParse), { numRuns: runs });
});

test('random bytes are refused in good order', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), (bytes) => agreesWithJsonParse(Buffer.from(bytes))),
    { numRuns: runs },
  );
});

test('a mutated configuration never breaks a call', async (t) => {
  const runtime = new Runtime(t);
  await fc.assert(
    fc.asyncProperty(
      mutated(fc.constant(runtime.config())),
      fc.constantFrom('ADD' as const, 'DEL' as const, 'CHECK' as const, 'GC' as const),
      async (stdin, verb) => {
        const { status, stdout } = await runPlugin(runtime.variables(verb, 'shop'), stdin);
        assert.ok(status === 0 || status === 1, `status ${status}`);
        assert.ok(stdout === '' ? status === 0 : parses(stdout), stdout);
      },
    ),
    { numRuns: runs },
  );
});

test('any environment gives a result or an error', async (t) => {
  const runtime = new Runtime(t);
  const text = fc.oneof(fc.string(), fc.string({ unit: 'binary' })).map((value) => value.replaceAll('\0', ''));
  await fc.assert(
    fc.asyncProperty(text, text, text, async (id, ifname, args) => {
      const variables = { ...runtime.variables('ADD'), CNI_CONTAINERID: id, CNI_IFNAME: ifname, CNI_ARGS: args };
      const { status, stdout, error } = await runPlugin(variables, runtime.config());
      assert.equal(status, 1, stdout);
      assert.ok([4, 11].includes(error.code), stdout);
    }),
    { numRuns: runs },
  );
});
