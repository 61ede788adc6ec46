import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import type { CommandOptions, CommandResult } from '../lab/command.ts';
import { run } from '../lab/command.ts';
import { cgroup2Mount } from '../lab/layout.ts';
import { programFolders } from './binaries.ts';
import { hierarchies, killBelow, makeGroups, pidsInside, processesBelow, removeGroups } from './cgroups.ts';
import { clusterCgroup, machineFolder } from './layout.ts';

const bootDeadlineMs = 20_000;

/** Where each machine finds the cgroup v2 folder that is all of it, as other computers find theirs at /sys/fs/cgroup. */
export const machineCgroup = '/run/machine-cgroup';

/**
 * /sys shows the machine's own links, and the host's cgroups all the same. /etc is the host's with what the machine writes above it. What
 * is not its own it can only read, so that nothing can be left there.
 */
const bootScript = `set -e
state=$1
mount -t proc proc /proc
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/cgroup /run/lock
mount --rbind /sys/fs/cgroup /run/cgroup
mount -t sysfs sysfs /sys
mount --move /run/cgroup /sys/fs/cgroup
rmdir /run/cgroup
mkdir $4
mount --bind "$3" $4
mount -t bpf bpf /sys/fs/bpf
mount -t overlay -o "lowerdir=/etc,upperdir=$state/etc,workdir=$state/etc.work" overlay /etc
mount --bind "$state/opt" /opt
mount --bind "$state/var" /var
mount -o remount,bind,ro /
mount --make-rshared /
hostname "$2"
ip link set lo up
`;

export interface DaemonOptions {
  readonly env?: NodeJS.ProcessEnv;
  /** Of its own, below the machine's, where others have to know its sockets or memory from those of the rest. */
  readonly cgroup?: string;
}

/**
 * What a computer of the cluster is: namespaces of its own (mounts, network, processes, host name), /run, /var, /etc and /opt of its own,
 * and a cgroup. It keeps no state in this process: whoever knows its name finds it.
 */
export class Machine {
  readonly cluster: string;
  readonly name: string;
  readonly folder: string;
  /** Below the root of every hierarchy. */
  readonly cgroup: string;

  constructor(cluster: string, name: string) {
    this.cluster = cluster;
    this.name = name;
    this.folder = machineFolder(cluster, name);
    this.cgroup = join(clusterCgroup(cluster), name);
  }

  async boot(init: string): Promise<void> {
    for (const folder of ['etc', 'etc.work', 'opt', 'var/lib', 'var/log', 'var/tmp'])
      mkdirSync(join(this.folder, folder), { recursive: true });
    const runtime = join(this.folder, 'var/run'); // runtimes keep network namespaces below it, which must not outlive the boot
    rmSync(runtime, { force: true });
    symlinkSync('../run', runtime);
    makeGroups(join(this.cgroup, 'system'));
    const namespaces = ['--mount', '--net', '--uts', '--pid', '--fork', '--kill-child', '--propagation', 'private'];
    const [file = '', ...args] = this.#inCgroup(['unshare', ...namespaces, init]);
    spawn(file, args, { stdio: 'ignore', detached: true }).unref();
    const deadline = performance.now() + bootDeadlineMs;
    while (this.init === undefined) {
      if (performance.now() > deadline) throw new Error(`${this.name}: its first process does not start`);
      await delay(10);
    }
    const cgroup = join(cgroup2Mount(), this.cgroup);
    await this.must(['sh', '-c', bootScript, 'boot', this.folder, this.name, cgroup, machineCgroup]);
  }

  /** As pulling the plug: what lies below /var, /etc and /opt is kept. */
  async kill(): Promise<void> {
    await killBelow(this.cgroup);
    await removeGroups(this.cgroup); // the next kubelet would look for 3 s into that of each container
  }

  /** The pid here of the machine's process 1. */
  get init(): number | undefined {
    return processesBelow(this.cgroup).find((pid) => pidsInside(pid).join(' ') === '1');
  }

  /** Where a file of the machine is seen from outside. */
  path(inside: string): string {
    return join(`/proc/${this.#running()}/root`, inside);
  }

  /** Before the machine boots, or while it is down. */
  writeBeforeBoot(inside: string, content: string | Buffer, mode = 0o644): void {
    const path = join(this.folder, inside);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content, { mode });
  }

  run(command: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    return run(this.command(command), { ...options, env: { ...insideEnvironment(), ...options.env } });
  }

  async must(command: readonly string[], options: CommandOptions = {}): Promise<string> {
    const { code, stdout, stderr } = await this.run(command, options);
    if (code !== 0) throw new Error(`${this.name}: ${command.join(' ')}: exit code ${code}: ${stderr.trim()}`);
    return stdout;
  }

  /** Starts a process that outlives this one. What it says is in /var/log of the machine. */
  daemon(name: string, command: readonly string[], { env = {}, cgroup = 'system' }: DaemonOptions = {}): void {
    makeGroups(join(this.cgroup, cgroup));
    const [file = '', ...args] = this.command(['setsid', '--fork', ...command], cgroup); // process 1 in there becomes its parent
    const log = openSync(this.log(name), 'a');
    const options = { stdio: ['ignore', log, log], detached: true, env: { ...insideEnvironment(), ...env } } as const;
    spawn(file, args, { ...options, stdio: [...options.stdio] }).unref();
    closeSync(log);
  }

  log(name: string): string {
    return join(this.folder, 'var/log', `${name}.log`);
  }

  /** Processes of the machine, those in its containers too, by the name of what they execute. */
  pidsOf(program: string): number[] {
    return processesBelow(this.cgroup).filter((pid) => {
      try {
        return basename(readlinkSync(`/proc/${pid}/exe`)) === program;
      } catch {
        return false; // it has just ended
      }
    });
  }

  /** To run something in the machine's namespaces and a cgroup of it. */
  command(command: readonly string[], cgroup = 'system'): string[] {
    const namespaces = ['--mount', '--net', '--uts', '--pid'];
    return this.#inCgroup(['nsenter', '--target', String(this.#running()), ...namespaces, '--', ...command], cgroup);
  }

  /** To run something in the machine's network and cgroup, but with the files and processes of the one that runs it all. */
  commandOutside(command: readonly string[]): string[] {
    return this.#inCgroup(['nsenter', '--target', String(this.#running()), '--net', '--', ...command]);
  }

  #inCgroup(command: readonly string[], cgroup = 'system'): string[] {
    const groups = hierarchies().map((hierarchy) => join(hierarchy, this.cgroup, cgroup, 'cgroup.procs'));
    const script = 'while [ "$1" != -- ]; do echo $$ > "$1" || exit 1; shift; done; shift; exec "$@"';
    return ['sh', '-c', script, 'enter', ...groups, '--', ...command];
  }

  #running(): number {
    const pid = this.init;
    if (pid === undefined) throw new Error(`machine ${this.name} of cluster ${this.cluster} is down`);
    return pid;
  }
}

/** With the cluster's programs on PATH. */
export function environment(): NodeJS.ProcessEnv {
  return { ...process.env, PATH: [...programFolders(), process.env.PATH ?? '', '/usr/sbin', '/sbin'].join(':') };
}

function insideEnvironment(): NodeJS.ProcessEnv {
  return { ...environment(), TMPDIR: '/var/tmp' };
}
