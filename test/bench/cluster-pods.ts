import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

import { imageTar, withLibraries } from '../cluster/images.ts';
import { haproxyHttp } from './http-peers.ts';
import type { Certificates } from './tls-peers.ts';
import { haproxyTcp } from './tls-peers.ts';
import { webServer } from './web-server.ts';

/** The pods of the cluster's bench: a client and a server in the mesh, and outside of it the same with HAProxy in front of each. */

const image = 'weft.test/bench:1';
const programs = ['curl', 'h2load', 'wrk', 'iperf3'].map((name) => `/usr/bin/${name}`);
const servers = ['/usr/sbin/nginx', '/usr/sbin/haproxy'];
const folder = '/peers';

export const ports = { http1: 8080, http2: 8081, bulk: 5201 } as const;
export const peerPorts = { http1: 20_000, http2: 20_001, bulk: 20_002 } as const;

export type Kind = keyof typeof ports;

export const kinds = Object.keys(ports) as Kind[];

/** Which process of HAProxy carries what is told by the file that it was started with. */
export function peerFile(kind: Kind): string {
  return `${folder}/${kind}.conf`;
}

export function benchImage(): Promise<string> {
  const files = [...programs, ...servers].flatMap((path) =>
    Object.entries(withLibraries(path, `/bin/${basename(path)}`)),
  );
  const applets = Object.fromEntries(['sh', 'sleep', 'sysctl'].map((name) => [`/bin/${name}`, 'busybox']));
  return imageTar({
    name: image,
    files: { '/bin/busybox': '/bin/busybox', ...Object.fromEntries(files) },
    links: applets,
    entrypoint: [],
  });
}

export function clientPod(namespace: string, node: string, withPeers: boolean): object {
  // Where ports run out, the search for a free one is all that is measured.
  const prepare = 'sysctl -qw "net.ipv4.ip_local_port_range=1024 60999" net.ipv4.tcp_tw_reuse=1';
  const load = container('load', ['sh', '-c', `${prepare} && exec sleep 100000`], { privileged: true });
  return pod('client', namespace, node, [load, ...(withPeers ? proxies() : [])], withPeers);
}

export function serverPod(namespace: string, node: string, withPeers: boolean): object {
  const containers = [
    container('web', ['nginx', '-e', 'stderr', '-c', '/config/nginx.conf']),
    container('bulk', ['iperf3', '-s', '-p', String(ports.bulk)]),
    ...(withPeers ? proxies() : []),
  ];
  return pod('server', namespace, node, containers, withPeers);
}

/** What the pods of a namespace read. */
export function webConfig(namespace: string): object {
  const folders = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path /tmp/${kind};`);
  const configuration = webServer('/tmp/nginx.pid', [String(ports.http1), `${ports.http2} http2`], folders);
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'web', namespace },
    data: { 'nginx.conf': configuration },
  };
}

/** @param server its address, once it has one */
export function peersConfig(namespace: string, side: 'client' | 'server', made: Certificates, server: string): object {
  const certificates = { ...made, folder };
  const tls = side === 'client' ? 'connects' : 'accepts';
  const place = (kind: Kind): { listen: string; target: string } =>
    side === 'client'
      ? { listen: `127.0.0.1:${peerPorts[kind]}`, target: `${server}:${peerPorts[kind]}` }
      : { listen: `0.0.0.0:${peerPorts[kind]}`, target: `127.0.0.1:${ports[kind]}` };
  const read = (file: string): string => readFileSync(join(made.folder, file), 'utf8');
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: `peers-${side}`, namespace },
    data: {
      'http1.conf': haproxyHttp({ ...place('http1'), tls, isHttp2: false }, certificates),
      'http2.conf': haproxyHttp({ ...place('http2'), tls, isHttp2: true }, certificates),
      'bulk.conf': haproxyTcp(side, [place('bulk')], certificates, true),
      [`${side}.pem`]: read(`${side}.pem`),
      'ca.crt': read('ca.crt'),
    },
  };
}

function proxies(): object[] {
  return kinds.map((kind) => ({
    ...container(`haproxy-${kind}`, ['haproxy', '-db', '-f', peerFile(kind)]),
    volumeMounts: [{ name: 'peers', mountPath: folder }],
  }));
}

function container(name: string, command: readonly string[], securityContext: object = {}): object {
  const volumeMounts = [{ name: 'config', mountPath: '/config' }];
  return { name, image, imagePullPolicy: 'Never', command, securityContext, volumeMounts };
}

function pod(name: string, namespace: string, nodeName: string, containers: object[], withPeers: boolean): object {
  const volumes = [
    { name: 'config', configMap: { name: 'web' } },
    ...(withPeers ? [{ name: 'peers', configMap: { name: `peers-${name}` } }] : []),
  ];
  const spec = { nodeName, terminationGracePeriodSeconds: 0, containers, volumes };
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace }, spec };
}
