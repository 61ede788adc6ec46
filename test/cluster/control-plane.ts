import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

import { program } from './binaries.ts';
import { Certificates } from './certificates.ts';
import { kubeconfig } from './kubeconfig.ts';
import { apiServer, controlMachine, machineFolder, nodePrefixLength, podRange, serviceRange } from './layout.ts';
import { Machine } from './machine.ts';

const readyDeadlineMs = 120_000;
const killDeadlineMs = 10_000;
const pki = '/etc/kubernetes/pki';
const servers = ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler'];
const etcdUrl = 'http://127.0.0.1:2379';

/** The machine of etcd, the API server, its controllers and the scheduler. The network of the nodes is a bridge in it. */
export class ControlPlane {
  readonly machine: Machine;
  readonly certificates: Certificates;

  constructor(cluster: string) {
    this.machine = new Machine(cluster, controlMachine);
    this.certificates = new Certificates(`${machineFolder(cluster, controlMachine)}/etc/kubernetes/pki`);
  }

  get adminConfig(): string {
    return `${this.machine.folder}/etc/kubernetes/admin.conf`;
  }

  /** Certificates first: nodes want theirs from the same authority. */
  async createCertificates(): Promise<void> {
    await this.certificates.create();
    await this.certificates.issue('kube-apiserver', {
      name: 'kube-apiserver',
      alternativeNames: [
        `IP:${apiServer.address}`,
        'IP:127.0.0.1',
        `IP:${serviceRange.replace(/0\/\d+$/, '1')}`,
        ...['kubernetes', 'kubernetes.default', 'kubernetes.default.svc'].map((name) => `DNS:${name}`),
      ],
    });
    const clients = [
      ['admin', 'admin', 'system:masters'],
      ['kubelet-client', 'kube-apiserver-kubelet-client', 'system:masters'],
      ['controller-manager', 'system:kube-controller-manager'],
      ['scheduler', 'system:kube-scheduler'],
      ['kube-proxy', 'system:kube-proxy'],
    ] as const;
    for (const [file, name, organization] of clients)
      await this.certificates.issue(file, { name, ...(organization !== undefined && { organization }) });
    for (const user of ['admin', 'controller-manager', 'scheduler'])
      this.machine.writeBeforeBoot(`/etc/kubernetes/${user}.conf`, kubeconfig(this.certificates, user), 0o600);
  }

  async boot(init: string): Promise<void> {
    await this.machine.boot(init);
    const address = `${apiServer.address}/${nodePrefixLength}`;
    const script = `ip link add br0 type bridge && ip addr add ${address} dev br0 && ip link set br0 up`;
    await this.machine.must(['sh', '-c', script]);
  }

  startEtcd(): void {
    const peer = 'http://127.0.0.1:2380';
    this.machine.daemon('etcd', [
      program('etcd'),
      '--data-dir=/var/lib/etcd',
      '--unsafe-no-fsync',
      `--listen-client-urls=${etcdUrl}`,
      `--advertise-client-urls=${etcdUrl}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      `--initial-cluster=default=${peer}`,
    ]);
  }

  startApiServer(): void {
    this.machine.daemon('kube-apiserver', [
      program('kube-apiserver'),
      `--etcd-servers=${etcdUrl}`,
      `--bind-address=${apiServer.address}`,
      `--advertise-address=${apiServer.address}`,
      `--secure-port=${apiServer.port}`,
      `--tls-cert-file=${pki}/kube-apiserver.crt`,
      `--tls-private-key-file=${pki}/kube-apiserver.key`,
      `--client-ca-file=${pki}/ca.crt`,
      `--kubelet-certificate-authority=${pki}/ca.crt`,
      `--kubelet-client-certificate=${pki}/kubelet-client.crt`,
      `--kubelet-client-key=${pki}/kubelet-client.key`,
      '--kubelet-preferred-address-types=InternalIP', // exec and logs would look names of nodes up in DNS
      '--service-account-issuer=https://kubernetes.default.svc',
      `--service-account-key-file=${pki}/service-accounts.key`,
      `--service-account-signing-key-file=${pki}/service-accounts.key`,
      '--authorization-mode=Node,RBAC',
      '--enable-admission-plugins=NodeRestriction',
      '--allow-privileged=true',
      `--service-cluster-ip-range=${serviceRange}`,
    ]);
  }

  /**
   * All but etcd, with no grace. Controllers that saw no heartbeat of any node for 40 s would, with the API server back, call all of them
   * unreachable.
   */
  async kill(): Promise<void> {
    const deadline = performance.now() + killDeadlineMs;
    for (;;) {
      const pids = servers.flatMap((program) => this.machine.pidsOf(program));
      if (pids.length === 0) return;
      if (performance.now() > deadline) throw new Error('the control plane does not end');
      for (const pid of pids) process.kill(pid, 'SIGKILL');
      await delay(20);
    }
  }

  startControllers(): void {
    this.machine.daemon('kube-controller-manager', [
      program('kube-controller-manager'),
      '--kubeconfig=/etc/kubernetes/controller-manager.conf',
      '--use-service-account-credentials',
      `--root-ca-file=${pki}/ca.crt`,
      `--service-account-private-key-file=${pki}/service-accounts.key`,
      `--cluster-signing-cert-file=${pki}/ca.crt`,
      `--cluster-signing-key-file=${pki}/ca.key`,
      `--cluster-cidr=${podRange}`,
      `--service-cluster-ip-range=${serviceRange}`,
      '--allocate-node-cidrs=false',
      '--flex-volume-plugin-dir=/var/lib/volume-plugins', // else below /usr, which is not the machine's own
      '--leader-elect=false',
    ]);
    this.machine.daemon('kube-scheduler', [
      program('kube-scheduler'),
      '--kubeconfig=/etc/kubernetes/scheduler.conf',
      '--leader-elect=false',
    ]);
  }

  async waitForApiServer(): Promise<void> {
    const url = `https://${apiServer.address}:${apiServer.port}/readyz`;
    const admin = ['--cacert', `${pki}/ca.crt`, '--cert', `${pki}/admin.crt`, '--key', `${pki}/admin.key`];
    const deadline = performance.now() + readyDeadlineMs;
    for (;;) {
      const { code } = await this.machine.run(['curl', '--silent', '--fail', '--max-time', '5', ...admin, url]);
      if (code === 0) return;
      if (performance.now() > deadline) throw new Error(`the API server is not ready: ${this.#said('kube-apiserver')}`);
      await delay(200);
    }
  }

  #said(daemon: string): string {
    return readFileSync(this.machine.log(daemon), 'utf8').slice(-2000);
  }
}
