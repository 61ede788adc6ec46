/** Of the answers of all web servers here: as many as the prototype's had. */
export const bodyBytes = 100;

/** nginx's configuration of an app that answers at once. @param pidFile where it may write */
export function webServer(pidFile: string, listens: readonly string[], more: readonly string[] = []): string {
  return `user root;
daemon off;
master_process off;
pid ${pidFile};
error_log stderr emerg;
worker_rlimit_nofile 20000;
events { worker_connections 16000; }
http {
  access_log off;
  keepalive_requests 1000000;
  ${[...more, ''].join('\n  ')}server { ${listens.map((listen) => `listen ${listen};`).join(' ')} location / { return 200 "${'x'.repeat(bodyBytes)}"; } }
}
`;
}
