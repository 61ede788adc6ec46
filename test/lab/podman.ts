import { chmodSync, copyFileSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

import type { CniNetwork } from './cni-runtime.ts';
import type { CommandOptions, CommandResult } from './command.ts';
import { run } from './command.ts';
import { debianPlugins, labCgroup, labFolder, nodeNetns } from './layout.ts';
import type { LabNode } from './node.ts';
import { inNamespaceAndCgroup } from './pod.ts';

const busybox = '/bin/busybox'; // of busybox-static
const hybridCgroup2 = '/sys/fs/cgroup/unified';

/** What the runtime is told of a container's pod, in CNI_ARGS; podman itself names K8S_POD_NAME alone. */
export interface PodmanPod {
  readonly namespace: string;
  readonly uid: string;
}

/** Debian's podman with its CNI backend, on a node: a container runtime that was written without the mesh in mind. */
export class Podman {
  readonly #node: LabNode;
  readonly #rootfs: string;

  constructor(node: LabNode) {
    this.#node = node;
    const folder = podmanFolder(node.lab.name, node.name);
    this.#rootfs = join(folder, 'rootfs');
    for (const name of ['bin', 'dev', 'etc', 'proc', 'run', 'sys', 'tmp'])
      mkdirSync(join(this.#rootfs, name), { recursive: true });
    copyFileSync(busybox, join(this.#rootfs, busybox));
    chmodSync(join(this.#rootfs, busybox), 0o755);
    const networks = join(folder, 'networks');
    mkdirSync(networks);
    writeFileSync(join(networks, 'pods.conflist'), JSON.stringify(withPlainTypes(node.network)));
    const pluginTypes = node.network.plugins.map(({ type }) => type).filter((type) => type.includes('/'));
    writeFileSync(
      join(folder, 'containers.conf'),
      [
        '[network]',
        'network_backend = "cni"',
        `network_config_dir = "${networks}"`,
        `cni_plugin_dirs = ${JSON.stringify([...pluginTypes.map((type) => dirname(type)), debianPlugins])}`,
        '[engine]',
        'runtime = "crun"',
        'cgroup_manager = "cgroupfs"',
        'events_logger = "none"',
        'lock_type = "file"',
        '',
      ].join('\n'),
    );
  }

  /** `podman run` on the network of the node's pods. */
  run(
    name: string,
    pod: PodmanPod | undefined,
    flags: readonly string[],
    command: readonly string[],
  ): Promise<CommandResult> {
    const args = pod === undefined ? {} : { CNI_ARGS: `K8S_POD_NAMESPACE=${pod.namespace};K8S_POD_UID=${pod.uid}` };
    const limits = ['--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024']; // its defaults may be above ours
    const container = ['--name', name, '--network', this.#node.network.name, '--cgroups=disabled', ...limits];
    return this.call(['run', ...container, ...flags, '--rootfs', this.#rootfs, busybox, ...command], {
      env: { ...process.env, ...args },
    });
  }

  call(args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    const { lab, name, netns, cgroup } = this.#node;
    return callPodman(podmanFolder(lab.name, name), netns, join(cgroup, 'kubepods'), args, options);
  }
}

/**
 * Removes the containers of a lab's nodes with all that podman keeps outside of the lab's folder. Podman refuses once where somebody
 * else has ended a container.
 */
export async function removeContainers(lab: string): Promise<void> {
  const nodes = existsSync(labFolder(lab)) ? readdirSync(labFolder(lab)) : [];
  for (const node of nodes.filter((name) => existsSync(podmanFolder(lab, name)))) {
    const cgroup = join(labCgroup(lab), node, 'kubepods');
    const remove = ['rm', '--force', '--time=0', '--all'];
    for (let attempts = 3, code = 1; attempts > 0 && code !== 0; attempts--)
      ({ code } = await callPodman(podmanFolder(lab, node), nodeNetns(lab, node), cgroup, remove));
  }
}

function podmanFolder(lab: string, node: string): string {
  return join(labFolder(lab), node, 'podman');
}

/** crun takes no cgroup v2 tree beside v1 if it has controllers, not even with --cgroups=disabled, so it does not see that it has. */
async function callPodman(
  folder: string,
  netns: string,
  cgroup: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const hide = `if [ -d ${hybridCgroup2} ]; then mount --make-private ${hybridCgroup2} && mount --bind /dev/null ${hybridCgroup2}/cgroup.controllers || exit; fi; exec "$@"`;
  const storage = ['root', 'runroot', 'tmpdir'].flatMap((name) => [`--${name}`, join(folder, name)]);
  const command = ['unshare', '--mount', '--propagation=unchanged', 'sh', '-c', hide, 'sh', 'podman', ...storage];
  const more = ['--storage-driver=vfs', `--runtime-flag=root=${join(folder, 'crun')}`];
  return run(inNamespaceAndCgroup(netns, cgroup, [...command, ...more, ...args]), {
    ...options,
    env: { ...process.env, ...options.env, CONTAINERS_CONF: join(folder, 'containers.conf') },
  });
}

/** libcni looks plugins up by name in its folders and takes no path. */
function withPlainTypes(network: CniNetwork): CniNetwork {
  return { ...network, plugins: network.plugins.map((plugin) => ({ ...plugin, type: basename(plugin.type) })) };
}
