import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';

import type { Capture } from '../../native/capture.d.ts';
import type { AgentConfig } from '../config.ts';
import type { Logger } from '../log.ts';
import type { MessageToMain } from '../worker/messages.ts';
import { joinAgentCgroup } from './agent-cgroup.ts';
import { Broker } from './broker.ts';
import { CaptureProof } from './capture-proof.ts';
import { CniCalls } from './cni-handler.ts';
import { CniServer } from './cni-server.ts';
import { EnrolledPods } from './enrolled-pods.ts';
import { Enrolment } from './enrolment.ts';
import { KeyedQueue } from './keyed-queue.ts';
import { ManifestSource } from './manifests.ts';
import { writeNamespacesFile } from './namespaces-file.ts';
import { loadNativeAddon } from './native.ts';
import { NetnsFinder } from './netns-finder.ts';
import { earlierGenerations, generationFolder, removeGeneration, retirePredecessor } from './predecessor.ts';
import { Reconciler } from './reconciler.ts';
import type { PodEvent } from './reconciler.ts';
import { WorkerSupervisor } from './worker-supervisor.ts';

const enrolmentsAtOnce = 8;
const drainGraceMs = 3000; // longer than a handshake that was under way when the listeners were swapped

/** One main process: everything of a node but the bytes. ARCHITECTURE.md tells what a generation is. */
export class Agent {
  readonly #config: AgentConfig;
  readonly #log: Logger;
  readonly #stop = new AbortController();
  #capture!: Capture;
  #broker!: Broker;
  #workers!: WorkerSupervisor;
  #cni!: CniServer;

  constructor(config: AgentConfig, log: Logger) {
    this.#config = config;
    this.#log = log;
  }

  async start(): Promise<void> {
    const config = this.#config;
    mkdirSync(config.runDir, { recursive: true });
    mkdirSync(config.stateDir, { recursive: true });
    await retirePredecessor(config.runDir);
    const native = loadNativeAddon();
    const agentCgroup = joinAgentCgroup(config.cgroup, config.agentCgroup);
    this.#capture = native.openCapture({
      objects: config.bpfObjects,
      pinDir: config.pinDir,
      cgroup: config.cgroup,
      agentCgroup,
      ...(config.kubeletCgroup && { kubeletCgroup: config.kubeletCgroup }),
    });
    const generation = join(config.runDir, generationFolder());
    mkdirSync(generation, { recursive: true });
    chmodSync(generation, 0o711); // workers, of another uid, pass through it to the broker's socket

    const brokerPath = join(generation, 'broker.sock');
    this.#broker = await Broker.spawn({ binary: config.brokerBinary, path: brokerPath, workerUid: config.workerUid, native });
    await this.#broker.setListenerMap(this.#capture.listenersMap);
    this.#workers = new WorkerSupervisor({
      count: config.workers,
      worker: { ...config.worker, brokerPath, uid: config.workerUid },
      clientsMap: this.#capture.clientsMap,
      onMessage: (message) => {
        this.#onWorkerMessage(message);
      },
      log: this.#log,
    });
    this.#workers.start();

    const proof = new CaptureProof({
      capture: this.#capture,
      broker: this.#broker,
      cgroup: config.cgroup,
      timeoutMs: config.proofTimeoutMs,
      expect: (pod) => {
        this.#workers.broadcast({ type: 'expect-proof', pod });
      },
      forget: (pod) => {
        this.#workers.broadcast({ type: 'forget-proof', pod });
      },
    });
    this.#proof = proof;
    const pods = new EnrolledPods(join(config.runDir, 'pods.json'));
    const enrolment = new Enrolment({
      native,
      capture: this.#capture,
      broker: this.#broker,
      pods,
      proof,
      workers: config.workers,
      tellWorkers: (message) => {
        this.#workers.broadcast(message);
      },
      log: this.#log,
    });
    await this.#adopt(enrolment, pods);

    const source = new ManifestSource(config.manifests);
    await source.start(this.#stop.signal);
    const queue = new KeyedQueue(enrolmentsAtOnce);
    const reconciler = new Reconciler({
      nodeName: config.nodeName,
      ownNamespace: config.ownNamespace,
      source,
      enrolment,
      pods,
      finder: new NetnsFinder(native, config.netnsDir),
      native,
      queue,
      onEvent: (event) => {
        this.#report(event);
      },
      log: this.#log,
    });
    const writeNamespaces = (): void => {
      writeNamespacesFile(join(config.stateDir, 'namespaces.json'), reconciler.optedInNamespaces());
    };
    source.onChange(writeNamespaces);
    writeNamespaces();
    reconciler.start(this.#stop.signal);
    this.#cni = new CniServer({ path: join(config.runDir, 'cni.sock'), handler: new CniCalls(reconciler, pods), log: this.#log });
    await this.#cni.listen();
    this.#log.info({ node: config.nodeName, workers: config.workers }, 'ready');
  }

  #proof: CaptureProof | undefined;

  /**
   * Takes over what the pinned maps hold: this generation's listeners first, then its programs, then the earlier generations are told
   * to finish. A pod whose namespace cannot be found again is forgotten.
   */
  async #adopt(enrolment: Enrolment, pods: EnrolledPods): Promise<void> {
    const adopted = new Map(this.#capture.adopted().map((pod) => [pod.cookie, pod]));
    enrolment.reserveIds([...adopted.values()].map((pod) => pod.id));
    const known = pods.readPredecessors().filter((pod) => adopted.get(pod.cookie)?.id === pod.id);
    await Promise.all(
      known.map(async (pod) => {
        const addresses = [pod.ipv4, pod.ipv6].filter((address) => address !== undefined);
        try {
          await enrolment.listen({ ...pod, addresses });
          pods.set(pod);
          adopted.delete(pod.cookie);
        } catch (error) {
          this.#log.warn({ error, pod: pod.name, namespace: pod.namespace }, 'a pod of an earlier agent could not be taken over');
        }
      }),
    );
    for (const cookie of adopted.keys()) this.#capture.forget(cookie);
    this.#capture.attach();
    for (const pod of pods.values()) enrolment.updateSkips(pod, pod.skips);
    for (const folder of earlierGenerations(this.#config.runDir)) {
      await Broker.drain(join(folder, 'broker.sock'), drainGraceMs, loadNativeAddon());
      removeGeneration(folder);
    }
  }

  #onWorkerMessage(message: MessageToMain): void {
    if (message.type === 'proof') this.#proof?.arrived(message.pod, message.direction);
    else if (message.type === 'connections') for (const connection of message.connections) this.#log.info(connection, 'connection');
  }

  #report(event: PodEvent): void {
    switch (event.type) {
      case 'enrolled':
        this.#log.info(podFields(event.pod), event.found === 'running' ? 'pod joined the mesh while running' : 'pod joined the mesh');
        break;
      case 'released':
        this.#log.info({ ...podFields(event.pod), reason: event.reason }, 'pod left the mesh');
        break;
      case 'not-meshable':
        this.#log.error({ pod: event.pod, code: event.error.code, error: event.error.message, hint: event.error.hint }, 'pod is not meshable');
    }
  }
}

function podFields(pod: { namespace: string; name: string; uid: string; id: number }): object {
  return { namespace: pod.namespace, pod: pod.name, uid: pod.uid, id: pod.id };
}
