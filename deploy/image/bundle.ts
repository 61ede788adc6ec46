/**
 * Makes the root of the image: every program as one file of JavaScript, a runtime without its symbols, and what both load.
 * Usage: bundle.ts FOLDER, after `make build`.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

import { build } from 'esbuild';

/** Programs by the name that a user calls, and what main starts by itself. */
const entryPoints = {
  'weft-agent': 'node-agent/main/main.ts',
  'weft-worker': 'node-agent/worker/main.ts',
  'weft-controller': 'control-plane/main.ts',
};
const commands = ['weft-agent', 'weft-controller'];
const source = new URL('../../', import.meta.url).pathname;
const runtime = '/opt/weft/bin/node';

const root = process.argv[2];
if (root === undefined) throw new Error('usage: bundle.ts FOLDER');
rmSync(root, { recursive: true, force: true });
const home = join(root, 'opt/weft');
for (const folder of ['bin', 'lib', 'bpf']) mkdirSync(join(home, folder), { recursive: true });

await build({
  absWorkingDir: source,
  entryPoints,
  outdir: join(home, 'lib'),
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node26',
  splitting: true, // what the controller loads where it needs it stays apart
  minifySyntax: true,
  minifyWhitespace: true, // names stay, so that stacks can be read
  legalComments: 'linked',
  external: ['bufferutil', 'utf-8-validate'], // which ws does without
  // Some of the libraries are CommonJS, and ask for these.
  banner: {
    js: `import { createRequire as weftRequire } from 'node:module';
import { dirname as weftDirname } from 'node:path';
const require = weftRequire(import.meta.url), __filename = import.meta.filename, __dirname = weftDirname(__filename);`,
  },
  logLevel: 'warning',
});

const { version } = JSON.parse(readFileSync(join(source, 'package.json'), 'utf8')) as { version: string };
writeFileSync(join(home, 'package.json'), `${JSON.stringify({ name: 'weft', version, type: 'module' })}\n`);
for (const command of commands) {
  writeFileSync(join(home, 'bin', command), `#!${runtime}\nimport '../lib/${command}.js';\n`);
  chmodSync(join(home, 'bin', command), 0o755);
}

const node = join(root, runtime);
copyFileSync(process.execPath, node);
chmodSync(node, 0o755);
execFileSync('strip', [node]);
for (const [file, target] of [
  ['build/Release/weft.node', 'lib/weft.node'],
  ['build/weft-broker', 'bin/weft-broker'],
  ['build/weft-cni', 'bin/weft-cni'],
] as const)
  copyFileSync(join(source, file), join(home, target));
cpSync(join(source, 'build/bpf'), join(home, 'bpf'), { recursive: true });
copyFileSync(join(source, 'LICENSE'), join(home, 'LICENSE'));

for (const library of librariesOf([node, join(home, 'lib/weft.node')])) {
  const target = join(root, library);
  mkdirSync(dirname(target), { recursive: true });
  copyFileSync(library, target);
  chmodSync(target, 0o755);
}
// Names that the runtime looks up, and folders that it writes to or that are mounted.
for (const folder of ['etc', 'tmp', 'run/weft', 'var/lib/weft']) mkdirSync(join(root, folder), { recursive: true });
chmodSync(join(root, 'tmp'), 0o1777);
symlinkSync('../run', join(root, 'var/run')); // as runtimes name pods' network namespaces
writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0::/:/nologin\nweft:x:2102:2102::/:/nologin\n');
writeFileSync(join(root, 'etc/group'), 'root:x:0:\nweft:x:2102:\n');
writeFileSync(join(root, 'etc/nsswitch.conf'), 'hosts: files dns\n');

/** All that the programs are linked with, the loader and what libc opens by itself to resolve names included. */
function librariesOf(files: readonly string[]): ReadonlySet<string> {
  const libraries = new Set<string>();
  for (const file of files) {
    const lines = execFileSync('ldd', [file], { encoding: 'utf8' }).split('\n');
    for (const line of lines) {
      const library = /(?:=> )?(\/\S+) \(0x/.exec(line)?.[1];
      if (library !== undefined) libraries.add(library);
      else if (line.includes('not found')) throw new Error(`${basename(file)}: ${line.trim()}`);
    }
  }
  return libraries;
}
