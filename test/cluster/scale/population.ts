import { ApiClient } from '../../../control-plane/sources/kubernetes/api-client.ts';
import { loadApiAccess } from '../../../control-plane/sources/kubernetes/api-config.ts';
import { tokenAudience } from '../../../control-plane/identity/token-authority.ts';

/** Many objects on a real API server, of computers and pods that do not exist. */
export interface PopulationPlan {
  readonly namespace: string;
  readonly nodes: number;
  readonly pods: number;
  readonly services: number;
}

export interface AgentCredentials {
  readonly node: string;
  readonly token: string;
}

interface Stored {
  readonly metadata: { readonly name: string; readonly uid: string; readonly resourceVersion: string };
  readonly spec: { readonly clusterIP?: string; readonly nodeName?: string };
}

const atOnce = 24;
const requestMs = 60_000;
const listen = 8080;
const tolerateAll = [{ operator: 'Exists' }];
const tokenSeconds = 7200;
const agents = { namespace: 'weft-system', account: 'weft-agent', label: 'app=weft-agent' };

export class Population {
  readonly plan: PopulationPlan;
  readonly #api: ApiClient;
  readonly #end = new AbortController();
  /** By number of the service. */
  readonly #addresses = new Map<number, string>();
  readonly #members = new Map<number, string[]>();

  constructor(plan: PopulationPlan, kubeconfig: string) {
    this.plan = plan;
    this.#api = new ApiClient(loadApiAccess(kubeconfig), 'weft-test');
  }

  /** Addresses of services, by their number. */
  get services(): ReadonlyMap<number, string> {
    return this.#addresses;
  }

  /** Addresses of the endpoints that each service has. */
  get members(): ReadonlyMap<number, readonly string[]> {
    return this.#members;
  }

  async close(): Promise<void> {
    this.#end.abort();
    await this.#api.close();
  }

  async createNodes(): Promise<void> {
    await each(this.plan.nodes, async (index) => {
      const node = {
        metadata: { name: nodeName(index) },
        status: {
          addresses: [{ type: 'InternalIP', address: `172.31.0.${index + 1}` }],
          capacity: { pods: '1000', cpu: '64', memory: '256Gi' },
          allocatable: { pods: '1000', cpu: '64', memory: '256Gi' },
          conditions: [{ type: 'Ready', status: 'True', reason: 'Test', message: '' }],
        },
      };
      await this.#send('POST', '/api/v1/nodes', node); // whose creation takes a status, unlike that of pods
    });
  }

  /** Of the pods that the DaemonSet of agents has for the nodes of the population; undefined while one is missing. */
  async agentCredentials(): Promise<AgentCredentials[] | undefined> {
    const path = `/api/v1/namespaces/${agents.namespace}`;
    const query = `labelSelector=${encodeURIComponent(agents.label)}`;
    const { items } = (await this.#send('GET', `${path}/pods?${query}`)) as { items: Stored[] };
    const names = new Set(Array.from({ length: this.plan.nodes }, (_, index) => nodeName(index)));
    const pods = items.filter(({ spec }) => names.has(spec.nodeName ?? ''));
    if (pods.length < names.size) return undefined;
    return await Promise.all(
      pods.map(async ({ metadata, spec }) => {
        const boundObjectRef = { apiVersion: 'v1', kind: 'Pod', name: metadata.name, uid: metadata.uid };
        const request = { spec: { audiences: [tokenAudience], boundObjectRef, expirationSeconds: tokenSeconds } };
        const answer = await this.#send('POST', `${path}/serviceaccounts/${agents.account}/token`, request);
        return { node: spec.nodeName ?? '', token: (answer as { status: { token: string } }).status.token };
      }),
    );
  }

  async createPods(): Promise<void> {
    const path = `/api/v1/namespaces/${this.plan.namespace}/pods`;
    await each(this.plan.pods, async (index) => {
      const pod = {
        metadata: { name: `pod-${index}`, labels: { app: `service-${index % this.plan.services}` } },
        spec: {
          nodeName: nodeName(index % this.plan.nodes),
          tolerations: tolerateAll,
          automountServiceAccountToken: false,
          containers: [{ name: 'app', image: 'weft.test/none:1', ports: [{ containerPort: listen }] }],
        },
      };
      const stored = (await this.#send('POST', path, pod)) as Stored;
      const podIP = podAddress(index);
      const conditions = [{ type: 'Ready', status: 'True' }];
      const status = { phase: 'Running', podIP, podIPs: [{ ip: podIP }], conditions };
      await this.#send('PUT', `${path}/${stored.metadata.name}/status`, { ...stored, status });
    });
  }

  async createServices(): Promise<void> {
    const path = `/api/v1/namespaces/${this.plan.namespace}/services`;
    await each(this.plan.services, async (index) => {
      const ports = [{ name: 'http', port: 80, targetPort: listen }];
      const stored = await this.#send('POST', path, { metadata: { name: `service-${index}` }, spec: { ports } });
      this.#addresses.set(index, (stored as Stored).spec.clusterIP ?? '');
      const share = this.plan.pods / this.plan.services;
      const members = Array.from({ length: share }, (_, turn) => podAddress(index + turn * this.plan.services));
      await this.putSlice(index, members);
    });
  }

  /** Creates it, or replaces it, whatever it is like. */
  async putSlice(service: number, members: readonly string[]): Promise<void> {
    const exists = this.#members.has(service);
    this.#members.set(service, [...members]);
    const name = `service-${service}-a`;
    const slice = {
      metadata: { name, labels: { 'kubernetes.io/service-name': `service-${service}` } },
      addressType: 'IPv4',
      ports: [{ name: 'http', port: listen, protocol: 'TCP' }],
      endpoints: members.map((address) => ({ addresses: [address], conditions: { ready: true } })),
    };
    if (exists) await this.#send('PUT', `${this.#slices}/${name}`, slice);
    else await this.#send('POST', this.#slices, slice);
  }

  async deleteSlice(service: number): Promise<void> {
    this.#members.delete(service);
    await this.#send('DELETE', `${this.#slices}/service-${service}-a`);
  }

  get #slices(): string {
    return `/apis/discovery.k8s.io/v1/namespaces/${this.plan.namespace}/endpointslices`;
  }

  #send(method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, body?: object): Promise<unknown> {
    return this.#api.json({ method, path, ...(body !== undefined && { body }) }, this.#end.signal, requestMs);
  }
}

function nodeName(index: number): string {
  return `imagined-${index}`;
}

function podAddress(index: number): string {
  return `10.245.${index >> 8}.${index & 255}`;
}

async function each(count: number, work: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let index = next++; index < count; index = next++) await work(index);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}
