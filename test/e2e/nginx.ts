import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import type { LabPod } from '../lab/pod.ts';
import { waitUntil } from './helpers.ts';

/**
 * nginx in a pod, as Debian has it. Resolves once it listens.
 *
 * @param folder where its own files go, in a folder for each pod
 * @param parts of its http block
 */
export async function nginx(pod: LabPod, folder: string, parts: readonly string[]): Promise<void> {
  const prefix = join(folder, `nginx-${pod.spec.name}`);
  mkdirSync(prefix);
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${prefix}/${name};`,
  );
  const lines = [
    ...['user root;', 'daemon off;', 'worker_processes 1;', `pid ${prefix}/pid;`],
    ...['worker_rlimit_nofile 20000;', 'events { worker_connections 16000; }', 'http {'],
    ...['access_log off;', `error_log ${prefix}/error;`, ...temporary, ...parts, '}'],
  ];
  writeFileSync(join(prefix, 'conf'), lines.join('\n'));
  // It says nothing once it listens.
  const child = pod.spawn(['nginx', '-e', join(prefix, 'error'), '-c', join(prefix, 'conf')]);
  const [, port = ''] = /listen (\d+)/.exec(parts.join(' ')) ?? [];
  const listens = async (): Promise<boolean> =>
    child.exitCode === null && (await pod.run(['ss', '-Htln', `sport = :${port}`])).stdout !== '';
  await waitUntil(listens, 10_000, 'nginx listens');
}
