import { WeftError } from '../../mesh/errors.ts';
import { agent, controller } from '../installation.ts';
import type { Cluster } from './cluster.ts';
import type { Sample } from './exposition.ts';
import { parseSamples } from './exposition.ts';
import type { DaemonSet, Deployment, KubeObject, LabelSelector, Node, Pod } from './objects.ts';
import { nameOf } from './objects.ts';

/** What a controller or an agent says of itself. */
export interface Report {
  readonly pod: Pod;
  /** Why it is not ready; none where it is. */
  readonly reasons: readonly string[];
  readonly samples: readonly Sample[];
}

/** Of those that could be asked, and why the others could not. */
export interface Reports {
  readonly told: readonly Report[];
  readonly silent: readonly { readonly pod: Pod; readonly error: WeftError }[];
}

const askedAtOnce = 16;

/** What checks ask of a cluster. Each answer is kept, so that many checks cost one question, until it is forgotten. */
export class Facts {
  readonly namespace: string;
  readonly #open: () => Cluster;
  readonly #kept = new Map<string, Promise<unknown>>();
  #cluster: Cluster | undefined;

  /** @param open once, when something is asked first */
  constructor(open: () => Cluster, namespace: string) {
    this.#open = open;
    this.namespace = namespace;
  }

  /** @throws WeftError E402 */
  open(): Cluster {
    return (this.#cluster ??= this.#open());
  }

  /** @throws WeftError E402 */
  get cluster(): Cluster {
    return this.open();
  }

  async close(): Promise<void> {
    await this.#cluster?.close();
  }

  forget(): void {
    this.#kept.clear();
  }

  kubernetesVersion(signal: AbortSignal): Promise<string> {
    return this.#keep('version', () => this.cluster.kubernetesVersion(signal));
  }

  get<Kind extends KubeObject>(path: string, signal: AbortSignal): Promise<Kind | undefined> {
    return this.#keep(`get ${path}`, () => this.cluster.get<Kind>(path, signal));
  }

  list<Kind extends KubeObject>(path: string, signal: AbortSignal, selector = ''): Promise<Kind[]> {
    return this.#keep(`list ${path} ${selector}`, () => this.cluster.list<Kind>(path, signal, selector));
  }

  nodes(signal: AbortSignal): Promise<Node[]> {
    return this.list<Node>('/api/v1/nodes', signal);
  }

  async linuxNodes(signal: AbortSignal): Promise<Node[]> {
    const nodes = await this.nodes(signal);
    return nodes.filter(({ status }) => (status?.nodeInfo?.operatingSystem ?? 'linux') === 'linux');
  }

  deployment(signal: AbortSignal): Promise<Deployment | undefined> {
    return this.get<Deployment>(`/apis/apps/v1/namespaces/${this.namespace}/deployments/${controller.name}`, signal);
  }

  daemonSet(signal: AbortSignal): Promise<DaemonSet | undefined> {
    return this.get<DaemonSet>(`/apis/apps/v1/namespaces/${this.namespace}/daemonsets/${agent.name}`, signal);
  }

  async controllerPods(signal: AbortSignal): Promise<Pod[]> {
    return this.#podsOf(await this.deployment(signal), signal);
  }

  async agentPods(signal: AbortSignal): Promise<Pod[]> {
    return this.#podsOf(await this.daemonSet(signal), signal);
  }

  async controllers(signal: AbortSignal): Promise<Reports> {
    return this.#reports(await this.controllerPods(signal), controller.adminPort, signal);
  }

  async agents(signal: AbortSignal): Promise<Reports> {
    return this.#reports(await this.agentPods(signal), agent.adminPort, signal);
  }

  async #podsOf(owner: Deployment | DaemonSet | undefined, signal: AbortSignal): Promise<Pod[]> {
    if (owner === undefined) return [];
    const path = `/api/v1/namespaces/${this.namespace}/pods`;
    const pods = await this.list<Pod>(path, signal, selectorText(owner.spec?.selector));
    return pods.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  }

  /** Of pods that run; the others are reported by who looks at them as pods. */
  #reports(pods: readonly Pod[], port: number, signal: AbortSignal): Promise<Reports> {
    return this.#keep(`reports ${port}`, async () => {
      const told: Report[] = [];
      const silent: { pod: Pod; error: WeftError }[] = [];
      const running = pods.filter(({ status }) => status?.phase === 'Running');
      await eachOf(running, askedAtOnce, async (pod) => {
        try {
          told.push(await this.#report(pod, port, signal));
        } catch (error) {
          if (!(error instanceof WeftError)) throw error;
          silent.push({ pod, error });
        }
      });
      return { told, silent };
    });
  }

  async #report(pod: Pod, port: number, signal: AbortSignal): Promise<Report> {
    const ready = await this.cluster.askPod(pod, port, '/ready', signal);
    if (ready.status !== 200 && ready.status !== 503) throw unexpected(pod, port, '/ready', ready.status);
    const metrics = await this.cluster.askPod(pod, port, '/metrics', signal);
    if (metrics.status !== 200) throw unexpected(pod, port, '/metrics', metrics.status);
    const reasons = ready.status === 200 ? [] : ready.text.split('\n').filter((line) => line !== '');
    return {
      pod,
      reasons: ready.status === 503 && reasons.length === 0 ? ['it gives no reason'] : reasons,
      samples: parseSamples(metrics.text),
    };
  }

  #keep<Value>(key: string, ask: () => Promise<Value>): Promise<Value> {
    const kept = this.#kept.get(key) as Promise<Value> | undefined;
    if (kept !== undefined) return kept;
    const asked = ask();
    this.#kept.set(key, asked);
    return asked;
  }
}

export function valuesOf({ samples }: Report, name: string): Sample[] {
  return samples.filter((sample) => sample.name === name);
}

/** Undefined where it is not told. */
export function valueOf(report: Report, name: string): number | undefined {
  return valuesOf(report, name)[0]?.value;
}

function selectorText(selector: LabelSelector | undefined): string {
  return Object.entries(selector?.matchLabels ?? {})
    .map(([name, value]) => `${name}=${value}`)
    .join(',');
}

function unexpected(pod: Pod, port: number, path: string, status: number): WeftError {
  return new WeftError('WEFT-E405', `${nameOf(pod)} port ${port} answers ${status} to ${path}`);
}

async function eachOf<Item>(
  items: readonly Item[],
  atOnce: number,
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const rest = items.values();
  const worker = async (): Promise<void> => {
    for (const item of rest) await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, worker));
}
