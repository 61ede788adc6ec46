import type { RequestOptions } from 'node:https';

import { KubeConfig } from '@kubernetes/client-node';

import type { ApiAccess, ApiCredentials } from './api-access.ts';

/** From the file, or else from what a pod finds in its container. @throws Error that names what is missing */
export function loadApiAccess(kubeconfig: string | undefined): ApiAccess {
  const config = new KubeConfig();
  if (kubeconfig !== undefined) config.loadFromFile(kubeconfig);
  else if (process.env['KUBERNETES_SERVICE_HOST'] === undefined)
    throw new Error('KUBERNETES_SERVICE_HOST is not set: this is no pod of a cluster, so --kubeconfig is needed');
  else config.loadFromCluster();
  return apiAccessOf(config);
}

/** To the cluster of its current context. @throws Error that names what is missing */
export function apiAccessOf(config: KubeConfig): ApiAccess {
  const cluster = config.getCurrentCluster();
  if (cluster === null) throw new Error('the kubeconfig has no cluster for its current context');
  if (cluster.proxyUrl !== undefined) throw new Error('proxy-url of a kubeconfig is not supported');
  return { url: new URL(cluster.server), credentials: () => credentialsOf(config) };
}

async function credentialsOf(config: KubeConfig): Promise<ApiCredentials> {
  const headers: Record<string, string> = {};
  const options: RequestOptions = { headers };
  await config.applyToHTTPSOptions(options);
  const { ca, cert, key, auth, servername, rejectUnauthorized } = options;
  if (auth !== undefined && auth !== null) headers['authorization'] = `Basic ${Buffer.from(auth).toString('base64')}`;
  return {
    headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value.trim()])),
    tls: {
      ...(ca !== undefined && { ca }),
      ...(cert !== undefined && { cert }),
      ...(key !== undefined && { key }),
      ...(servername !== undefined && { servername }),
      ...(rejectUnauthorized !== undefined && { rejectUnauthorized }),
    },
  };
}
