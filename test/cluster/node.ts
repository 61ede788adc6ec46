import { copyFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { run } from '../lab/command.ts';
import { debianPlugins } from '../lab/layout.ts';
import { program } from './binaries.ts';
import type { ControlPlane } from './control-plane.ts';
import { imageNames } from './images.ts';
import { kubeconfig } from './kubeconfig.ts';
import {
  apiServer,
  clusterDomain,
  dnsAddress,
  nodeAddress,
  nodeName,
  nodePodRange,
  nodePrefixLength,
  podRange,
} from './layout.ts';
import { Machine } from './machine.ts';

const startDeadlineMs = 60_000;
const importDeadlineMs = 120_000;
const pki = '/etc/kubernetes/pki';
const socket = '/run/containerd/containerd.sock';
const cniFolder = '/etc/cni/net.d';
const conflist = join(cniFolder, '10-pods.conflist');
const cniPrograms = '/opt/cni/bin';

/** A machine with containerd, kubelet and kube-proxy. Everything of it lies where it lies on other people's nodes. */
export class Node {
  readonly index: number;
  readonly name: string;
  readonly address: string;
  readonly podRange: string;
  readonly machine: Machine;

  constructor(cluster: string, index: number) {
    this.index = index;
    this.name = nodeName(index);
    this.address = nodeAddress(index);
    this.podRange = nodePodRange(index);
    this.machine = new Machine(cluster, this.name);
  }

  async prepare(controlPlane: ControlPlane): Promise<void> {
    const { certificates } = controlPlane;
    const name = `system:node:${this.name}`;
    await certificates.issue(name, { name, organization: 'system:nodes' });
    await certificates.issue(this.name, {
      name: this.name,
      alternativeNames: [`IP:${this.address}`, `DNS:${this.name}`],
    });
    const write = this.machine.writeBeforeBoot.bind(this.machine);
    for (const file of ['crt', 'key'])
      write(`${pki}/kubelet.${file}`, readFileSync(certificates.path(`${this.name}.${file}`)), 0o600);
    write(`${pki}/ca.crt`, readFileSync(certificates.path('ca.crt')));
    write('/etc/kubernetes/kubelet.conf', kubeconfig(certificates, name), 0o600);
    write('/etc/kubernetes/kube-proxy.conf', kubeconfig(certificates, 'kube-proxy'), 0o600);
    write('/etc/kubernetes/kubelet.json', JSON.stringify(this.#kubeletConfiguration()));
    write('/etc/kubernetes/resolv.conf', `nameserver ${apiServer.address}\n`); // there is no outside to resolve
    write('/etc/containerd/config.toml', containerdConfiguration);
    write(conflist, JSON.stringify(this.#network(), undefined, 2));
    const programs = join(this.machine.folder, cniPrograms);
    mkdirSync(programs, { recursive: true });
    for (const plugin of ['bridge', 'host-local', 'loopback', 'portmap', 'ptp'])
      copyFileSync(join(debianPlugins, plugin), join(programs, plugin));
  }

  /** Boots the machine into the network of the cluster. */
  async boot(init: string, controlPlane: ControlPlane, others: readonly Node[]): Promise<void> {
    await this.machine.boot(init);
    const port = `n${this.index}`;
    const control = controlPlane.machine;
    const gateway = apiServer.address;
    // A machine that was killed may have left its end of the link for a moment longer.
    await control.run(['ip', 'link', 'del', port]);
    // By a pid that only the processes outside know.
    const peer = ['peer', 'name', 'eth0', 'netns', String(this.machine.init)];
    const link = control.commandOutside(['ip', 'link', 'add', port, 'type', 'veth', ...peer]);
    const { code, stderr } = await run(link);
    if (code !== 0) throw new Error(`${this.name}: no link: ${stderr.trim()}`);
    await control.must(['ip', 'link', 'set', port, 'master', 'br0', 'up']);
    await control.must(['ip', 'route', 'replace', this.podRange, 'via', this.address]);
    const routes = others.map((other) => `ip route add ${other.podRange} via ${other.address}`);
    const script = [
      'sysctl -qw net.ipv4.ip_forward=1',
      `ip addr add ${this.address}/${nodePrefixLength} dev eth0`,
      'ip link set eth0 up',
      `ip route add default via ${gateway}`,
      ...routes,
    ];
    await this.machine.must(['sh', '-c', script.join(' && ')]);
  }

  async startContainerd(images: readonly string[]): Promise<void> {
    this.machine.daemon('containerd', [program('containerd'), '--config=/etc/containerd/config.toml']);
    const deadline = performance.now() + startDeadlineMs;
    while ((await this.ctr(['version'])).code !== 0) {
      if (performance.now() > deadline) throw new Error(`${this.name}: containerd does not start`);
      await delay(200);
    }
    for (const image of images) await this.importImage(image);
  }

  startKubelet(): void {
    const command = [
      program('kubelet'),
      '--config=/etc/kubernetes/kubelet.json',
      '--kubeconfig=/etc/kubernetes/kubelet.conf',
      `--hostname-override=${this.name}`,
      `--node-ip=${this.address}`,
    ];
    this.machine.daemon('kubelet', command, { cgroup: 'kubelet' }); // containers are in that of containerd on hybrid hosts
  }

  startKubeProxy(): void {
    this.machine.daemon('kube-proxy', [
      program('kube-proxy'),
      '--kubeconfig=/etc/kubernetes/kube-proxy.conf',
      '--proxy-mode=nftables',
      `--hostname-override=${this.name}`,
      `--cluster-cidr=${podRange}`,
      // The sysctls of these are not writable in a network namespace.
      '--conntrack-max-per-core=0',
      '--conntrack-min=0',
      '--conntrack-tcp-timeout-established=0',
      '--conntrack-tcp-timeout-close-wait=0',
    ]);
  }

  /** @param tar a path outside of the node, of an OCI image layout or of what `podman save` writes */
  async importImage(tar: string): Promise<void> {
    const { code, stderr } = await this.ctr(['images', 'import', tar], importDeadlineMs);
    if (code !== 0) throw new Error(`${this.name}: ${tar} cannot be imported: ${stderr.trim()}`);
  }

  /** Puts a program among the CNI plugins and its entry at the end of the chain. */
  chain(binary: string, entry: { readonly type: string }): void {
    copyFileSync(binary, this.machine.path(join(cniPrograms, entry.type)));
    const network = this.#network();
    const path = this.machine.path(conflist);
    writeFileSync(`${path}.new`, JSON.stringify({ ...network, plugins: [...network.plugins, entry] }, undefined, 2));
    renameSync(`${path}.new`, path);
  }

  ctr(args: readonly string[], timeoutMs = startDeadlineMs) {
    return this.machine.run([program('ctr'), '--address', socket, '--namespace', 'k8s.io', ...args], { timeoutMs });
  }

  #network() {
    return {
      cniVersion: '1.0.0',
      name: 'pods',
      plugins: [
        {
          type: 'bridge',
          bridge: 'cni0',
          isGateway: true,
          hairpinMode: true,
          ipam: { type: 'host-local', ranges: [[{ subnet: this.podRange }]], routes: [{ dst: '0.0.0.0/0' }] },
        },
        { type: 'portmap', capabilities: { portMappings: true } },
      ],
    };
  }

  #kubeletConfiguration() {
    return {
      apiVersion: 'kubelet.config.k8s.io/v1beta1',
      kind: 'KubeletConfiguration',
      address: this.address,
      authentication: {
        anonymous: { enabled: false },
        webhook: { enabled: true },
        x509: { clientCAFile: `${pki}/ca.crt` },
      },
      authorization: { mode: 'Webhook' },
      tlsCertFile: `${pki}/kubelet.crt`,
      tlsPrivateKeyFile: `${pki}/kubelet.key`,
      clusterDNS: [dnsAddress],
      clusterDomain,
      resolvConf: '/etc/kubernetes/resolv.conf',
      containerRuntimeEndpoint: `unix://${socket}`,
      failCgroupV1: false,
      cgroupDriver: 'cgroupfs',
      cgroupRoot: `/${this.machine.cgroup}`, // of its own: kubelets kill what they do not know below theirs
      enforceNodeAllocatable: [],
      oomScoreAdj: 0, // below it wants CAP_SYS_RESOURCE
      failSwapOn: false,
      volumePluginDir: '/var/lib/kubelet/volume-plugins', // else below /usr, which is not the node's own
      maxPods: 250,
      // The disk is the machine's, and none of the cluster's business.
      evictionHard: { 'nodefs.available': '0%', 'nodefs.inodesFree': '0%', 'imagefs.available': '0%' },
      imageGCHighThresholdPercent: 100,
    };
  }
}

// restrict_oom_score_adj: runc cannot lower it without CAP_SYS_RESOURCE, and dies.
const containerdConfiguration = `version = 3
root = "/var/lib/containerd"
state = "/run/containerd"

[grpc]
address = "${socket}"

[plugins."io.containerd.cri.v1.images"]
snapshotter = "overlayfs"

[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "${imageNames.pause}"

[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true

[plugins."io.containerd.cri.v1.runtime".cni]
conf_dir = "${cniFolder}"
bin_dirs = ["${cniPrograms}"]

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = "${program('runc')}"
SystemdCgroup = false
`;
