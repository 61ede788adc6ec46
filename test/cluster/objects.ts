import { imageNames } from './images.ts';

/** Objects that tests are made of. */
export interface AppOptions {
  readonly name: string;
  readonly namespace?: string;
  readonly replicas?: number;
  readonly labels?: Readonly<Record<string, string>>;
  readonly hostPort?: number;
  /** What the Service has besides its selector and port. */
  readonly service?: object;
}

export const appPort = 8080;

/** A web server that answers with the name of its pod, as many on one node as on another, and its Service. */
export function app({
  name,
  namespace = 'default',
  replicas = 2,
  labels = {},
  hostPort,
  service,
}: AppOptions): object[] {
  const selector = { app: name };
  const serve = `mkdir /tmp/www && hostname > /tmp/www/index.html && exec httpd -f -v -p ${appPort} -h /tmp/www`;
  const container = {
    name: 'app',
    image: imageNames.tools,
    imagePullPolicy: 'Never',
    command: ['sh', '-c', serve],
    ports: [{ name: 'http', containerPort: appPort, ...(hostPort !== undefined && { hostPort }) }],
    readinessProbe: { httpGet: { path: '/', port: 'http' }, periodSeconds: 1 },
  };
  return [
    deployment({ name, namespace, replicas, labels, spec: { containers: [container] } }),
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace },
      spec: { selector, ports: [{ name: 'http', port: 80, targetPort: 'http' }], ...service },
    },
  ];
}

/** As many pods on one node as on another. @param spec of the pods, besides */
export function deployment({
  name,
  namespace,
  replicas,
  labels = {},
  spec,
}: {
  name: string;
  namespace: string;
  replicas: number;
  labels?: Readonly<Record<string, string>>;
  spec: object;
}): object {
  const selector = { app: name };
  const spread = {
    maxSkew: 1,
    topologyKey: 'kubernetes.io/hostname',
    whenUnsatisfiable: 'DoNotSchedule',
    labelSelector: { matchLabels: selector },
  };
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace },
    spec: {
      replicas,
      selector: { matchLabels: selector },
      template: {
        metadata: { labels: { ...selector, ...labels } },
        spec: { terminationGracePeriodSeconds: 1, topologySpreadConstraints: [spread], ...spec },
      },
    },
  };
}
