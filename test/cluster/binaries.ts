/**
 * The programs of a cluster, built from the Go modules below modules/ into a cache. Run by itself it builds what is missing.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

import { run } from '../lab/command.ts';

const buildDeadlineMs = 70 * 60_000;

/** One Go module: its go.mod names the version, its go.sum what has to come of it. */
interface ProgramSet {
  readonly name: string;
  /** The module whose version is the set's. */
  readonly module: string;
  readonly programs: readonly string[];
  /** `tool` where go.mod names the commands, `.` where the set has a main package of its own. */
  readonly packages: 'tool' | '.';
  readonly flags: readonly string[];
}

const kubernetesVersion = versionOf('kubernetes', 'k8s.io/kubernetes');

const sets: readonly ProgramSet[] = [
  {
    name: 'kubernetes',
    module: 'k8s.io/kubernetes',
    programs: ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubelet', 'kube-proxy', 'kubectl'],
    packages: 'tool',
    // The API's version and the nodes' come from it.
    flags: [`-ldflags=-s -w -X k8s.io/component-base/version.gitVersion=${kubernetesVersion}`],
  },
  {
    name: 'containerd',
    module: 'github.com/containerd/containerd/v2',
    programs: ['containerd', 'containerd-shim-runc-v2', 'ctr'],
    packages: 'tool',
    flags: ['-ldflags=-s -w', '-tags=no_btrfs,no_zfs,no_devmapper,no_aufs'],
  },
  { name: 'helm', module: 'helm.sh/helm/v4', programs: ['helm'], packages: 'tool', flags: ['-ldflags=-s -w'] },
  {
    name: 'coredns',
    module: 'github.com/coredns/coredns',
    programs: ['coredns'],
    packages: '.',
    flags: ['-ldflags=-s -w'],
  },
  {
    // No cluster needs it: test/e2e/h2spec.e2e.ts does.
    name: 'h2spec',
    module: 'github.com/summerwind/h2spec',
    programs: ['h2spec'],
    packages: 'tool',
    flags: ['-ldflags=-s -w'],
  },
];

const debianPrograms = { etcd: '/usr/bin/etcd', runc: '/usr/sbin/runc' } as const;

/** Where the programs lie, images that are made of them too. WEFT_CLUSTER_CACHE names another folder. */
export function cacheFolder(): string {
  return process.env.WEFT_CLUSTER_CACHE ?? join(homedir(), '.cache', 'weft');
}

export function program(name: string): string {
  if (name in debianPrograms) return debianPrograms[name as keyof typeof debianPrograms];
  const set = sets.find(({ programs }) => programs.includes(name));
  if (set === undefined) throw new Error(`no set of programs has ${name}`);
  return join(folderOf(set), name);
}

/** For PATH. */
export function programFolders(): string[] {
  return sets.map(folderOf);
}

/** Builds the sets that are not there yet. */
export async function buildPrograms(say: (line: string) => void = () => undefined): Promise<void> {
  for (const path of Object.values(debianPrograms))
    if (!existsSync(path)) throw new Error(`${path} is missing: make setup-cluster installs it`);
  for (const set of sets) if (!existsSync(folderOf(set))) await build(set, say);
}

/** The folder appears when everything is in it. */
async function build(set: ProgramSet, say: (line: string) => void): Promise<void> {
  mkdirSync(cacheFolder(), { recursive: true });
  const unfinished = mkdtempSync(join(cacheFolder(), `.${set.name}-`));
  const started = performance.now();
  say(`building ${set.name} ${versionOf(set.name, set.module)}`);
  try {
    const command = ['nice', '-n', '19', goCommand(), 'build', '-C', moduleFolder(set.name), '-mod=readonly'];
    const { code, stderr } = await run([...command, ...set.flags, '-o', `${unfinished}/`, set.packages], {
      timeoutMs: buildDeadlineMs,
      env: { ...process.env, CGO_ENABLED: '0' },
    });
    if (code === 127) throw new Error(`${set.name} is built by Go 1.26 or newer, which is not installed`);
    if (code !== 0) throw new Error(`${set.name} cannot be built: ${stderr.slice(-4000)}`);
    const missing = set.programs.filter((name) => !existsSync(join(unfinished, name)));
    if (missing.length > 0) throw new Error(`${set.name}: no ${missing.join(', ')} came of the build`);
    if (!existsSync(folderOf(set))) renameSync(unfinished, folderOf(set));
  } finally {
    rmSync(unfinished, { recursive: true, force: true });
  }
  say(`${set.name} took ${Math.round((performance.now() - started) / 1000)} s`);
}

function folderOf(set: ProgramSet): string {
  const digest = createHash('sha256').update(JSON.stringify([set.flags, process.arch]));
  for (const file of readdirSync(moduleFolder(set.name)).sort())
    digest.update(readFileSync(join(moduleFolder(set.name), file)));
  const version = versionOf(set.name, set.module);
  return join(cacheFolder(), `${set.name}-${version}-${digest.digest('hex').slice(0, 12)}`);
}

function moduleFolder(set: string): string {
  return new URL(`modules/${set}`, import.meta.url).pathname;
}

function versionOf(set: string, module: string): string {
  const lines = readFileSync(join(moduleFolder(set), 'go.mod'), 'utf8').split('\n');
  const words = lines.map((line) =>
    line
      .trim()
      .replace(/^require /, '')
      .split(' '),
  );
  const version = words.find(([name]) => name === module)?.[1];
  if (version === undefined) throw new Error(`${set}/go.mod does not require ${module}`);
  return version;
}

/** Go's own installation is seldom on everybody's PATH. */
function goCommand(): string {
  const installed = '/usr/local/go/bin/go';
  return existsSync(installed) ? installed : 'go';
}

if (import.meta.main) await buildPrograms((line) => process.stdout.write(`${line}\n`));
