import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import type { LabPod } from '../lab/pod.ts';
import type { Certificates, PeerPair } from './tls-peers.ts';
import { cipher } from './tls-peers.ts';

interface Hop {
  readonly listen: string;
  readonly target: string;
  /** HTTP/2 towards both sides, with prior knowledge. */
  readonly isHttp2: boolean;
  /** Where this hop has TLS: towards the client, or towards the server. */
  readonly tls: 'accepts' | 'connects' | 'none';
}

type Write = (hop: Hop, certificates: Certificates) => string;

interface Kind {
  readonly command: (file: string) => string[];
  readonly write: Write;
}

const kinds: Readonly<Record<string, Kind>> = {
  haproxy: { command: (file) => ['haproxy', '-db', '-f', file], write: haproxyHttp },
  nginx: { command: (file) => ['nginx', '-c', file], write: nginx },
};

/** With their first ports: pairs and hops of all kinds may be there at a time. */
const ports = { http1: 20_000, hops: 21_000, http2: 22_000, grpc: 23_000 };

/** HAProxy and nginx as a pair of HTTP proxies with mutual TLS and kept connections between them. */
export function startHttpPairs(
  certificates: Certificates,
  client: LabPod,
  server: LabPod,
  appPort: number,
): PeerPair[] {
  return startPairs(Object.keys(kinds), ports.http1, certificates, client, server, appPort, false);
}

/** HAProxy alone: of HTTP/2 nginx passes on gRPC only. */
export function startHttp2Pairs(
  certificates: Certificates,
  client: LabPod,
  server: LabPod,
  appPort: number,
): PeerPair[] {
  return startPairs(['haproxy'], ports.http2, certificates, client, server, appPort, true);
}

export function startGrpcPairs(
  certificates: Certificates,
  client: LabPod,
  server: LabPod,
  appPort: number,
): PeerPair[] {
  return startPairs(Object.keys(kinds), ports.grpc, certificates, client, server, appPort, true);
}

function startPairs(
  wanted: readonly string[],
  firstPort: number,
  certificates: Certificates,
  client: LabPod,
  server: LabPod,
  appPort: number,
  isHttp2: boolean,
): PeerPair[] {
  return wanted.map((kind, index) => {
    const outer = firstPort + index;
    const [here, there] = [`127.0.0.1:${outer}`, `${server.ipv4}:${outer}`];
    const near = { listen: here, target: there, tls: 'connects', isHttp2 } as const;
    const far = { listen: there, target: `127.0.0.1:${appPort}`, tls: 'accepts', isHttp2 } as const;
    const pids = [start(client, kind, near, certificates), start(server, kind, far, certificates)];
    return { name: kind, pids, port: () => outer };
  });
}

/** Each as one proxy in the client's pod, without TLS. */
export function startHttpHops(certificates: Certificates, client: LabPod, server: LabPod, appPort: number): PeerPair[] {
  return Object.keys(kinds).map((kind, index) => {
    const outer = ports.hops + index;
    const hop = {
      listen: `127.0.0.1:${outer}`,
      target: `${server.ipv4}:${appPort}`,
      tls: 'none',
      isHttp2: false,
    } as const;
    return { name: `${kind}-hop`, pids: [start(client, kind, hop, certificates)], port: () => outer };
  });
}

function start(pod: LabPod, kind: string, hop: Hop, certificates: Certificates): number {
  const { command, write } = kinds[kind] ?? {};
  if (command === undefined || write === undefined) throw new Error(`no such proxy: ${kind}`);
  const file = join(certificates.folder, `http-${kind}-${hop.listen.replace(':', '-')}.conf`);
  writeFileSync(file, write(hop, certificates));
  const { pid } = pod.spawn(command(file));
  if (pid === undefined) throw new Error(`${kind} cannot be started`);
  return pid; // the shell and nsenter before it have become it
}

export function haproxyHttp({ listen, target, tls, isHttp2 }: Hop, { folder, serverName }: Certificates): string {
  const side = tls === 'accepts' ? 'server' : 'client';
  const options = ` ssl crt ${folder}/${side}.pem ca-file ${folder}/ca.crt verify required ciphersuites ${cipher} ssl-min-ver TLSv1.3`;
  const [plainProtocol, tlsProtocol] = isHttp2 ? [' proto h2', ' alpn h2'] : ['', ''];
  const bind = tls === 'accepts' ? options + tlsProtocol : plainProtocol;
  const server =
    tls === 'connects' ? `${options}${tlsProtocol} sni str(${serverName}) verifyhost ${serverName}` : plainProtocol;
  return `global
  nbthread 1
  maxconn 9000
defaults
  mode http
  http-reuse always
  timeout connect 5s
  timeout client 5m
  timeout server 5m
listen l
  bind ${listen}${bind}
  server s ${target}${server} pool-max-conn 1000
`;
}

function nginx({ listen, target, tls, isHttp2 }: Hop, { folder, serverName }: Certificates): string {
  const passer = isHttp2 ? 'grpc' : 'proxy';
  const scheme = isHttp2 ? 'grpc' : 'http';
  const accepts = `ssl_protocols TLSv1.3;
    ssl_conf_command Ciphersuites ${cipher};
    ssl_certificate ${folder}/server.crt;
    ssl_certificate_key ${folder}/server.key;
    ssl_client_certificate ${folder}/ca.crt;
    ssl_verify_client on;`;
  const connects = `${passer}_ssl_protocols TLSv1.3;
      ${passer}_ssl_conf_command Ciphersuites ${cipher};
      ${passer}_ssl_certificate ${folder}/client.crt;
      ${passer}_ssl_certificate_key ${folder}/client.key;
      ${passer}_ssl_trusted_certificate ${folder}/ca.crt;
      ${passer}_ssl_verify on;
      ${passer}_ssl_server_name on;
      ${passer}_ssl_name ${serverName};`;
  const keepsConnections = `proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;`;
  return `user root;
daemon off;
master_process off;
pid ${folder}/nginx-${listen.replace(':', '-')}.pid;
error_log stderr emerg;
worker_rlimit_nofile 20000;
events { worker_connections 16000; }
http {
  access_log off;
  keepalive_requests 1000000;
  upstream app { server ${target}; keepalive 256; keepalive_requests 1000000; }
  server {
    listen ${listen}${tls === 'accepts' ? ' ssl' : ''}${isHttp2 ? ' http2' : ''};
    ${tls === 'accepts' ? accepts : ''}
    location / {
      ${passer}_pass ${scheme}${tls === 'connects' ? 's' : ''}://app;
      ${isHttp2 ? '' : keepsConnections}
      ${tls === 'connects' ? connects : ''}
    }
  }
}
`;
}
