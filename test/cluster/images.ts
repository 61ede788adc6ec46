/** Images made without a registry, as tars of the OCI image layout that `ctr images import` reads. */
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { must, run } from '../lab/command.ts';
import { cacheFolder, program } from './binaries.ts';

const buildDeadlineMs = 120_000;
const busybox = '/bin/busybox';

export interface Image {
  readonly name: string;
  /** What lies where in it: paths here by paths there. */
  readonly files: Readonly<Record<string, string>>;
  /** Targets by paths. */
  readonly links?: Readonly<Record<string, string>>;
  readonly entrypoint: readonly string[];
}

export const imageNames = {
  pause: 'weft.test/pause:1',
  busybox: 'weft.test/busybox:1',
  /** busybox and clients that know names: its own, statically linked, do not. */
  tools: 'weft.test/tools:1',
  coredns: 'weft.test/coredns:1',
} as const;

/** The first process of sandboxes, and of nodes. */
export async function pauseProgram(): Promise<string> {
  const source = new URL('pause.c', import.meta.url).pathname;
  const path = join(cacheFolder(), `pause-${sha256(readFileSync(source)).slice(0, 12)}`);
  if (!existsSync(path)) {
    mkdirSync(cacheFolder(), { recursive: true });
    const unfinished = `${path}.${process.pid}`;
    const flags = ['-std=c11', '-D_GNU_SOURCE', '-Wall', '-Wextra', '-Werror', '-Os', '-static', '-s'];
    const { code, stderr } = await run(['musl-gcc', ...flags, '-o', unfinished, source]);
    if (code !== 0) throw new Error(`pause.c cannot be compiled: ${stderr}`);
    renameSync(unfinished, path);
  }
  return path;
}

/** The images that every cluster has: paths of their tars. */
export async function standardImages(): Promise<string[]> {
  const pause = await pauseProgram();
  const images: Image[] = [
    { name: imageNames.pause, files: { '/pause': pause }, entrypoint: ['/pause'] },
    { name: imageNames.busybox, files: { '/bin/busybox': busybox }, links: applets(), entrypoint: [] },
    {
      name: imageNames.tools,
      files: {
        '/bin/busybox': busybox,
        ...withLibraries('/usr/bin/curl', '/bin/curl'),
        ...withLibraries('/usr/bin/openssl', '/bin/openssl'),
      },
      links: applets(),
      entrypoint: [],
    },
    { name: imageNames.coredns, files: { '/coredns': program('coredns') }, entrypoint: ['/coredns'] },
  ];
  const paths = [];
  for (const image of images) paths.push(await imageTar(image));
  return paths;
}

function applets(): Record<string, string> {
  const names = must(busybox, '--list').split('\n');
  return Object.fromEntries(
    names.filter((name) => name !== '' && name !== 'busybox').map((name) => [`/bin/${name}`, 'busybox']),
  );
}

/** A program of this machine and what it is linked with, for the files of an image. */
export function withLibraries(source: string, target: string): Record<string, string> {
  const libraries = must('ldd', source).match(/\/\S+/g) ?? [];
  return { [target]: source, ...Object.fromEntries(libraries.map((library) => [library, library])) };
}

/** Made once: its name in the cache is that of its content. */
export async function imageTar(image: Image): Promise<string> {
  const path = join(cacheFolder(), `${image.name.replaceAll(/[^a-z0-9]+/g, '-')}-${digestOf(image).slice(0, 12)}.tar`);
  if (existsSync(path)) return path;
  const work = mkdtempSync(join(tmpdir(), 'weft-image-'));
  try {
    await writeImage(image, work);
    const unfinished = `${path}.${process.pid}`;
    await tar(join(work, 'layout'), unfinished);
    renameSync(unfinished, path);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return path;
}

function digestOf(image: Image): string {
  const files = Object.entries(image.files).map(([path, source]) => [path, sha256(readFileSync(source))]);
  return sha256(JSON.stringify([image, files]));
}

async function writeImage(image: Image, work: string): Promise<void> {
  const root = join(work, 'root');
  const layout = join(work, 'layout');
  for (const folder of ['tmp', 'etc', 'bin']) mkdirSync(join(root, folder), { recursive: true });
  writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n');
  writeFileSync(join(root, 'etc/group'), 'root:x:0:\nnogroup:x:65534:\n');
  for (const [path, source] of Object.entries(image.files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    copyFileSync(source, join(root, path));
  }
  for (const [path, target] of Object.entries(image.links ?? {})) symlinkSync(target, join(root, path));

  mkdirSync(join(layout, 'blobs/sha256'), { recursive: true });
  const layerTar = join(work, 'layer.tar');
  await tar(root, layerTar);
  const layer = addBlob(layout, 'application/vnd.oci.image.layer.v1.tar', readFileSync(layerTar));
  const config = addBlob(
    layout,
    'application/vnd.oci.image.config.v1+json',
    JSON.stringify({
      architecture: process.arch === 'x64' ? 'amd64' : process.arch,
      os: 'linux',
      config: { Entrypoint: image.entrypoint, Env: ['PATH=/bin'] },
      rootfs: { type: 'layers', diff_ids: [layer.digest] },
      history: [],
    }),
  );
  const type = 'application/vnd.oci.image.manifest.v1+json';
  const manifest = addBlob(
    layout,
    type,
    JSON.stringify({ schemaVersion: 2, mediaType: type, config, layers: [layer] }),
  );
  const annotations = { 'io.containerd.image.name': image.name, 'org.opencontainers.image.ref.name': image.name };
  const index = { schemaVersion: 2, manifests: [{ ...manifest, annotations }] };
  writeFileSync(join(layout, 'index.json'), JSON.stringify(index));
  writeFileSync(join(layout, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
}

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

function addBlob(layout: string, mediaType: string, content: string | Buffer): Descriptor {
  const digest = sha256(content);
  writeFileSync(join(layout, 'blobs/sha256', digest), content);
  return { mediaType, digest: `sha256:${digest}`, size: Buffer.byteLength(content) };
}

async function tar(folder: string, target: string): Promise<void> {
  const same = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner'];
  const { code, stderr } = await run(['tar', ...same, '-C', folder, '-cf', target, '.'], {
    timeoutMs: buildDeadlineMs,
  });
  if (code !== 0) throw new Error(`tar of ${folder}: ${stderr}`);
}

function sha256(content: string | Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}
