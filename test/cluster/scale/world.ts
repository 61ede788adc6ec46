import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { FaultProxy } from './fault-proxy.ts';
import type { RequestCounts } from './fault-proxy.ts';
import { Observers } from './observers.ts';
import type { PopulationPlan } from './population.ts';
import { Population } from './population.ts';

/** What runs in the network of the control plane, on behalf of scale.e2e.ts; see WorldProcess. */
export interface WorldOptions {
  readonly plan: PopulationPlan;
  readonly kubeconfig: string;
  readonly pki: string;
  readonly apiServer: string;
  readonly proxy: { readonly host: string; readonly port: number };
  readonly controller: string;
  readonly anchors: string;
  readonly serverName: string;
  readonly folder: string;
}

export type Fault = 'reset' | 'expired' | 'failing' | 'silent';

/** Milliseconds since the write was begun. */
export interface SliceChange {
  /** The API server has answered. */
  readonly writtenMs: number;
  /** The last agent knows. */
  readonly knownMs: number;
}

export interface FaultFigures {
  readonly agreedAfterMs: number;
  readonly requests: RequestCounts;
}

const agentsDeadlineMs = 60_000;
const learnDeadlineMs = 30_000;
const agreeDeadlineMs = 120_000;
const settleMs = 3000;
const pauseMs = 50;

export class World {
  readonly #options: WorldOptions;
  readonly #population: Population;
  readonly #proxy: FaultProxy;
  #observers: Observers | undefined;
  #changes = 0;

  constructor(options: WorldOptions) {
    this.#options = options;
    this.#population = new Population(options.plan, options.kubeconfig);
    const file = (name: string): Buffer => readFileSync(join(options.pki, name));
    const tls = { ca: file('ca.crt'), cert: file('kube-apiserver.crt'), key: file('kube-apiserver.key') };
    this.#proxy = new FaultProxy({ ...tls, ...options.proxy, upstream: options.apiServer });
  }

  async startProxy(): Promise<void> {
    await this.#proxy.listen();
  }

  /** Nodes, and what their agents would authenticate with. */
  async createNodes(): Promise<void> {
    await this.#population.createNodes();
    const deadline = performance.now() + agentsDeadlineMs;
    for (;;) {
      const agents = await this.#population.agentCredentials();
      const { controller, anchors, serverName, folder } = this.#options;
      if (agents !== undefined) {
        const onProblem = (problem: string): boolean => process.stderr.write(`${problem}\n`);
        this.#observers = new Observers({ agents, controller, anchors, serverName, folder, onProblem });
        return;
      }
      if (performance.now() > deadline) throw new Error('the DaemonSet has no pod on some node');
      await delay(200);
    }
  }

  async createPods(): Promise<void> {
    await this.#population.createPods();
  }

  async createServices(): Promise<void> {
    await this.#population.createServices();
  }

  /** @returns after how long all agents know all services, in milliseconds */
  async connectAgents(): Promise<number> {
    const begun = performance.now();
    this.#agents.start(this.#population.services.values());
    await this.#agree();
    return performance.now() - begun;
  }

  /** Changes one slice after the other. */
  async changeSlices(count: number): Promise<SliceChange[]> {
    const times: SliceChange[] = [];
    for (let change = 0; change < count; change++) {
      const service = (change * 7) % this.#options.plan.services;
      const signal = AbortSignal.timeout(learnDeadlineMs);
      const [address, members] = this.#next(service);
      const learnt = this.#agents.allLearn(this.#addressOf(service), address, signal);
      const begun = performance.now();
      await this.#population.putSlice(service, members);
      const writtenMs = performance.now() - begun;
      times.push({ writtenMs, knownMs: (await learnt) - begun });
      await delay(pauseMs);
    }
    return times;
  }

  /** The world goes on while the controller cannot see it: slices change, go and come. */
  async withFault(fault: Fault, lastsMs: number): Promise<FaultFigures> {
    this.#proxy.counts = { lists: 0, watches: 0, others: 0 };
    this.#begin(fault);
    const until = performance.now() + lastsMs;
    const services = [...this.#population.services.keys()];
    const deleted = services.slice(0, 5);
    for (const service of deleted) await this.#population.deleteSlice(service);
    for (const service of services.slice(5, 25)) await this.#population.putSlice(service, this.#next(service)[1]);
    await delay(Math.max(0, until - performance.now()));
    this.#end(fault);
    const ended = performance.now();
    await this.#agree();
    const agreedAfterMs = performance.now() - ended;
    await delay(settleMs);
    const requests = this.#proxy.counts;
    for (const service of deleted) await this.#population.putSlice(service, this.#next(service)[1]);
    await this.#agree();
    return { agreedAfterMs, requests };
  }

  async close(): Promise<void> {
    this.#observers?.stop();
    this.#proxy.close();
    await this.#population.close();
  }

  #begin(fault: Fault): void {
    if (fault === 'reset') this.#proxy.reset();
    else if (fault === 'expired') this.#proxy.expire();
    else if (fault === 'failing') this.#proxy.fail(true);
    else this.#proxy.silence(true);
  }

  #end(fault: Fault): void {
    if (fault === 'failing') this.#proxy.fail(false);
    if (fault === 'silent') this.#proxy.silence(false);
  }

  /** An address that no agent has heard of, and the service's members with it in the place of the oldest. */
  #next(service: number): [string, string[]] {
    const change = this.#changes++;
    const address = `10.246.${change >> 8}.${change & 255}`;
    return [address, [...(this.#population.members.get(service) ?? []).slice(1), address]];
  }

  async #agree(): Promise<void> {
    const deadline = performance.now() + agreeDeadlineMs;
    for (;;) {
      const wrong = this.#agents.differences(this.#truth());
      if (wrong === 0) return;
      if (performance.now() > deadline) throw new Error(`${wrong} times an agent does not know where a service leads`);
      await delay(pauseMs);
    }
  }

  #truth(): Map<string, readonly string[]> {
    const { services, members } = this.#population;
    return new Map([...services].map(([service, address]) => [address, members.get(service) ?? []]));
  }

  #addressOf(service: number): string {
    const address = this.#population.services.get(service);
    if (address === undefined) throw new Error(`there is no service ${service}`);
    return address;
  }

  get #agents(): Observers {
    if (this.#observers === undefined) throw new Error('there are no nodes yet');
    return this.#observers;
  }
}
