/** Weft's own image, as `make image` builds it, for nodes that reach no registry. Run by itself it builds it where that is needed. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { must, run } from '../lab/command.ts';
import { cacheFolder } from './binaries.ts';

const source = new URL('../../', import.meta.url).pathname;
const buildDeadlineMs = 30 * 60_000;
const saveDeadlineMs = 120_000;
const prefix = 'weft-image-';

/** As charts name it where nobody says otherwise. */
export function weftImageName(): string {
  const { version } = JSON.parse(readFileSync(join(source, 'package.json'), 'utf8')) as { version: string };
  return `localhost/weft:${version}`;
}

/** Built anew only if what it is made of has changed. @returns the path of its tar */
export async function weftImage(say: (line: string) => void = () => undefined): Promise<string> {
  const path = join(cacheFolder(), `${prefix}${digestOfInputs().slice(0, 12)}.tar`);
  if (existsSync(path)) return path;
  const started = performance.now();
  const name = weftImageName();
  say(`building ${name}`);
  const build = await run(['make', '--no-print-directory', '-C', source, 'image', `IMAGE=${name}`], {
    timeoutMs: buildDeadlineMs,
  });
  if (build.code !== 0) throw new Error(`the image cannot be built: ${(build.stdout + build.stderr).slice(-4000)}`);
  mkdirSync(cacheFolder(), { recursive: true });
  const unfinished = `${path}.${process.pid}`;
  const save = await run(['podman', 'save', '--quiet', '--output', unfinished, name], { timeoutMs: saveDeadlineMs });
  if (save.code !== 0) throw new Error(`${name} cannot be saved: ${save.stderr}`);
  for (const earlier of readdirSync(cacheFolder()).filter((file) => /^weft-image-\w+\.tar$/.test(file)))
    rmSync(join(cacheFolder(), earlier));
  renameSync(unfinished, path);
  say(`${name} took ${Math.round((performance.now() - started) / 1000)} s`);
  return path;
}

/** What git knows, or would, but for what .dockerignore leaves out. */
function digestOfInputs(): string {
  const ignored = readFileSync(join(source, '.dockerignore'), 'utf8').split('\n').filter(Boolean);
  const files = must('git', '-C', source, 'ls-files', '--cached', '--others', '--exclude-standard').split('\n');
  const digest = createHash('sha256');
  for (const file of files.filter(Boolean).sort()) {
    if (ignored.some((name) => file === name || file.startsWith(`${name}/`))) continue;
    if (!existsSync(join(source, file))) continue; // removed, but not in git yet
    digest.update(`${file}\n`).update(readFileSync(join(source, file)));
  }
  return digest.digest('hex');
}

if (import.meta.main) await weftImage((line) => process.stdout.write(`${line}\n`));
