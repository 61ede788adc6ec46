import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { must } from '../lab/command.ts';
import { labFolder } from '../lab/layout.ts';
import type { LabPod } from '../lab/pod.ts';

/** Two proxies, one in the client's pod and one in the server's, with TLS 1.3 by certificates of both between them. */
export interface PeerPair {
  readonly name: string;
  readonly pids: readonly number[];
  /** Where the client finds the server's port. */
  port(server: number): number;
}

interface Side {
  readonly listen: string;
  readonly target: string;
}

export interface Certificates {
  readonly folder: string;
  readonly serverName: string;
}

type Write = (
  side: 'client' | 'server',
  sides: readonly Side[],
  certificates: Certificates,
  resumes: boolean,
) => string;

/** As the packages come, but for the cipher, which is Weft's: proxies shall be compared, not ciphers. */
export const cipher = 'TLS_AES_128_GCM_SHA256';

const kinds: Readonly<Record<string, { command: (file: string) => string[]; write: Write }>> = {
  haproxy: { command: (file) => ['haproxy', '-db', '-f', file], write: haproxyTcp },
  nginx: { command: (file) => ['nginx', '-c', file], write: nginx },
};

/** HAProxy and nginx, each as it is, and without resuming sessions. */
export function startPeers(client: LabPod, server: LabPod, ports: readonly number[]): PeerPair[] {
  const certificates = makeCertificates(labFolder(client.node.lab.name));
  return Object.entries(kinds).flatMap(([kind, { command, write }], index) =>
    [true, false].map((resumes, variant) => {
      const name = resumes ? kind : `${kind}-full`;
      const first = 10_000 * (2 + index) + 1000 * variant;
      const outer = (port: number): number => first + ports.indexOf(port);
      const start = (pod: LabPod, side: 'client' | 'server', sides: readonly Side[]): number => {
        const file = join(certificates.folder, `${name}-${side}.conf`);
        writeFileSync(file, write(side, sides, certificates, resumes));
        const child = pod.spawn(command(file));
        if (child.pid === undefined) throw new Error(`${kind} cannot be started`);
        return child.pid; // the shell and nsenter before it have become it
      };
      const pids = [
        start(
          client,
          'client',
          ports.map((port) => ({ listen: `127.0.0.1:${outer(port)}`, target: `${server.ipv4}:${outer(port)}` })),
        ),
        start(
          server,
          'server',
          ports.map((port) => ({ listen: `${server.ipv4}:${outer(port)}`, target: `127.0.0.1:${port}` })),
        ),
      ];
      return { name, pids, port: outer };
    }),
  );
}

/** An authority and a leaf for each side, P-256 like Weft's; key and certificate also in one file, as HAProxy wants them. */
export function makeCertificates(parent: string): Certificates {
  const folder = join(parent, 'peers');
  const serverName = 'server.plain.test';
  const script = `
    set -eu
    mkdir -p "$0"; cd "$0"
    openssl ecparam -name prime256v1 -genkey -noout -out ca.key
    openssl req -x509 -new -key ca.key -days 2 -subj /CN=anchor -out ca.crt
    for side in client server; do
      openssl ecparam -name prime256v1 -genkey -noout -out $side.key
      printf 'subjectAltName=DNS:%s.plain.test\\n' $side >$side.ext
      openssl req -new -key $side.key -subj /CN=$side.plain.test |
        openssl x509 -req -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile $side.ext -out $side.crt
      cat $side.crt $side.key >$side.pem
    done`;
  must('sh', '-c', script, folder);
  return { folder, serverName };
}

export function haproxyTcp(
  side: 'client' | 'server',
  sides: readonly Side[],
  { folder, serverName }: Certificates,
  resumes: boolean,
): string {
  const tls = `ssl crt ${folder}/${side}.pem ca-file ${folder}/ca.crt verify required ciphersuites ${cipher} ssl-min-ver TLSv1.3`;
  const bind = side === 'server' ? ` ${tls}${resumes ? '' : ' no-tls-tickets'}` : '';
  const server =
    side === 'client' ? ` ${tls} sni str(${serverName}) verifyhost ${serverName}${resumes ? '' : ' no-ssl-reuse'}` : '';
  const sections = sides.map(
    ({ listen, target }, index) => `listen l${index}\n  bind ${listen}${bind}\n  server s ${target}${server}\n`,
  );
  return (
    `global\n  nbthread 1\n  maxconn 9000\n${resumes ? '' : '  tune.ssl.cachesize 0\n'}` +
    `defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 5m\n  timeout server 5m\n${sections.join('')}`
  );
}

function nginx(
  side: 'client' | 'server',
  sides: readonly Side[],
  { folder, serverName }: Certificates,
  resumes: boolean,
): string {
  const section = ({ listen, target }: Side): string =>
    side === 'client'
      ? `server {
    listen ${listen};
    proxy_pass ${target};
    proxy_ssl on;
    proxy_ssl_protocols TLSv1.3;
    proxy_ssl_conf_command Ciphersuites ${cipher};
    proxy_ssl_certificate ${folder}/client.crt;
    proxy_ssl_certificate_key ${folder}/client.key;
    proxy_ssl_trusted_certificate ${folder}/ca.crt;
    proxy_ssl_verify on;
    proxy_ssl_server_name on;
    proxy_ssl_name ${serverName};
    proxy_ssl_session_reuse ${resumes ? 'on' : 'off'};
  }`
      : `server {
    listen ${listen} ssl;
    proxy_pass ${target};
    ssl_protocols TLSv1.3;
    ssl_conf_command Ciphersuites ${cipher};
    ssl_certificate ${folder}/server.crt;
    ssl_certificate_key ${folder}/server.key;
    ssl_client_certificate ${folder}/ca.crt;
    ssl_verify_client on;
    ssl_session_tickets ${resumes ? 'on' : 'off'};
  }`;
  return `load_module /usr/lib/nginx/modules/ngx_stream_module.so;
user root;
daemon off;
master_process off;
pid ${folder}/nginx-${side}-${String(resumes)}.pid;
error_log stderr emerg;
worker_rlimit_nofile 20000;
events { worker_connections 16000; }
stream {
  proxy_timeout 5m;
  ${sides.map(section).join('\n  ')}
}
`;
}
