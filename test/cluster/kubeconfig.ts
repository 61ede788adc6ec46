import { readFileSync } from 'node:fs';

import type { Certificates } from './certificates.ts';
import { apiServer } from './layout.ts';

/** Complete in itself: it can be copied. */
export function kubeconfig(certificates: Certificates, user: string): string {
  const base64 = (file: string) => readFileSync(certificates.path(file)).toString('base64');
  const server = `https://${apiServer.address}:${apiServer.port}`;
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'weft', cluster: { server, 'certificate-authority-data': base64('ca.crt') } }],
    users: [
      {
        name: user,
        user: { 'client-certificate-data': base64(`${user}.crt`), 'client-key-data': base64(`${user}.key`) },
      },
    ],
    contexts: [{ name: 'weft', context: { cluster: 'weft', user } }],
    'current-context': 'weft',
  });
}
