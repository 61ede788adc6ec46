import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { WeftError } from '../../mesh/errors.ts';
import type { Trouble } from '../../mesh/trouble.ts';
import type { Capture } from '../../native/capture.d.ts';
import type { AgentConfig } from '../config.ts';
import type { Logger } from '../log.ts';
import type { MessageToMain, MessageToWorker } from '../worker/messages.ts';
import type { AgentStatus } from '../metrics/agent-status.ts';
import { reasonsNotReady } from '../metrics/agent-status.ts';
import { createAgentExpositions } from '../metrics/exposition.ts';
import { addNodeFamilies, kernelFeatures } from '../metrics/node-facts.ts';
import { seriesMemoryBytes } from '../metrics/series-memory.ts';
import { addWorkerProcesses } from '../metrics/worker-processes.ts';
import { Adoption } from './adoption.ts';
import { AgentAdmin } from './agent-admin.ts';
import { joinAgentCgroup } from './agent-cgroup.ts';
import { explain, logMeshProblem, logPodEvent } from './agent-log.ts';
import { Broker } from './broker.ts';
import { BrokerKeeper } from './broker-keeper.ts';
import type { CniInstaller } from '../cni-install/cni-installer.ts';
import { cniInstallerOf } from '../cni-install/agents-installer.ts';
import { CaptureProof } from './capture-proof.ts';
import { CniCalls } from './cni-handler.ts';
import { CniServer } from './cni-server.ts';
import type { EnrolledPod } from './enrolled-pods.ts';
import { EnrolledPods } from './enrolled-pods.ts';
import { Enrolment } from './enrolment.ts';
import { HandOver, leaveDeadlineMs } from './hand-over.ts';
import { KeyedQueue } from './keyed-queue.ts';
import type { ControllerAccess } from './controller-access.ts';
import { openControllerAccess } from './controller-access.ts';
import { bpfObjects, brokerPath, podsFile } from './layout.ts';
import { followKubelet } from './kubelet-probes.ts';
import { MeshClient } from './mesh-client.ts';
import { keepNamespacesFile, readNamespacesFile } from './namespaces-file.ts';
import type { NativeAddon } from './native.ts';
import { NetnsFinder } from './netns-finder.ts';
import { earlierGenerations, generationFolder, removeGeneration, retirePredecessor } from './predecessor.ts';
import type { PodWishes } from './pod-wishes.ts';
import type { PodEvent } from './reconciler.ts';
import { Reconciler } from './reconciler.ts';
import { WorkerSupervisor } from './worker-supervisor.ts';

const enrolmentsAtOnce = 8;
const drainGraceMs = 3000; // longer than a handshake that was under way when the listeners were swapped
const drainMarginMs = 2000;
const settleMs = 2000; // for pods that are joining or leaving while a successor waits
const leavePollMs = 20;
const longMs = 60_000;
const firstNewsMs = 1000; // until then the CNI plugin answers by itself

/** The main process: everything of a node but the bytes. ARCHITECTURE.md tells what a generation is. */
export class Agent {
  readonly #config: AgentConfig;
  readonly #log: Logger;
  readonly #native: NativeAddon;
  readonly #stop = new AbortController();
  readonly #pods: EnrolledPods;
  readonly #capture: Capture;
  readonly #workers: WorkerSupervisor;
  readonly #broker: BrokerKeeper;
  readonly #generation: string;
  readonly #proof: CaptureProof;
  readonly #enrolment: Enrolment;
  readonly #adoption: Adoption;
  readonly #admin: AgentAdmin;
  readonly #installer: CniInstaller | undefined;
  readonly #queue = new KeyedQueue(enrolmentsAtOnce);
  readonly #handOvers: readonly HandOver[];
  #hasStarted = false;
  #isAside = false;
  #leaving: Promise<void> | undefined;
  #cni: CniServer | undefined;
  #mesh: MeshClient | undefined;
  #access: ControllerAccess | undefined;
  #reconciler: Reconciler | undefined;

  private constructor(config: AgentConfig, log: Logger, native: NativeAddon, capture: Capture, generation: string) {
    this.#config = config;
    this.#log = log;
    this.#native = native;
    this.#capture = capture;
    this.#generation = generation;
    this.#installer = cniInstallerOf(config, log, native);
    this.#pods = new EnrolledPods(podsFile(config.runDir));
    const { runDir } = config;
    this.#handOvers = [
      new HandOver({ runDir, request: 'main', serve: () => this.standAside() }),
      new HandOver({ runDir, request: 'leave', serve: () => this.leave(), onGone: () => this.#onLeaveAbandoned() }),
    ];
    const metrics = Array.from({ length: config.workers }, () => native.createSharedMemory(seriesMemoryBytes));
    this.#admin = new AgentAdmin({
      config,
      log,
      metrics: createAgentExpositions(
        metrics.map((descriptor) => native.mapSharedMemory(descriptor)),
        () => this.#status(),
        (registry) => {
          const features = kernelFeatures(config);
          addNodeFamilies(registry, () => ({
            features,
            foreignPrograms: capture.foreignPrograms(),
            notMeshable: this.#reconciler?.notMeshable ?? [],
          }));
          addWorkerProcesses(registry, () => this.#workers.processes());
        },
        this.#stop.signal,
      ),
      reasonsNotReady: () => reasonsNotReady(this.#status()),
      reviewReader: async (token, signal) =>
        this.#mesh?.reviewReader(token, signal) ?? new WeftError('WEFT-E306', 'the agent is starting'),
      onProblem: this.#onProblem,
    });
    this.#workers = new WorkerSupervisor({
      count: config.workers,
      worker: { ...config.relay, brokerPath: brokerPath(generation), uid: config.workerUid },
      clientsMap: capture.clientsMap,
      metrics,
      greetings: () => this.#greetings(),
      onMessage: (message, worker) => {
        this.#onWorkerMessage(message, worker);
      },
      log,
    });
    this.#broker = new BrokerKeeper({
      config,
      native,
      generation,
      listenersMap: capture.listenersMap,
      signal: this.#stop.signal,
      onReplaced: () => this.#adoption.ofLostBroker(),
      log,
    });
    this.#proof = new CaptureProof({
      capture,
      broker: () => this.#broker.current,
      cgroup: config.cgroup,
      timeoutMs: config.proofTimeoutMs,
      tellWorkers: (message) => {
        this.#workers.broadcast(message);
      },
    });
    this.#enrolment = new Enrolment({
      native,
      capture,
      broker: () => this.#broker.current,
      pods: this.#pods,
      proof: this.#proof,
      workers: config.workers,
      tellWorkers: (message) => {
        this.#workers.broadcast(message);
      },
      describe: (pod) => this.#describe(pod),
    });
    this.#adoption = new Adoption({ capture, enrolment: this.#enrolment, pods: this.#pods, queue: this.#queue, log });
  }

  /** Resolves when the node's pods are captured and the CNI plugin is answered. */
  static async start(config: AgentConfig, log: Logger, native: NativeAddon): Promise<Agent> {
    mkdirSync(config.runDir, { recursive: true });
    mkdirSync(config.stateDir, { recursive: true });
    await retirePredecessor(config.runDir);
    const agentCgroup = joinAgentCgroup(config.agentCgroup);
    const capture = native.openCapture({
      objects: bpfObjects,
      pinDir: config.pinDir,
      cgroup: config.cgroup,
      agentCgroup,
      ...(config.kubeletCgroup !== undefined && { kubeletCgroup: config.kubeletCgroup }),
    });
    const generation = join(config.runDir, generationFolder());
    mkdirSync(generation, { recursive: true });
    for (const folder of [config.runDir, generation]) chmodSync(folder, 0o711); // workers, of another uid, pass through
    const agent = new Agent(config, log, native, capture, generation);
    await agent.#broker.start();
    await agent.#admin.listen();
    const mesh = await agent.#connect();
    agent.#workers.start();
    await agent.#adopt();
    mesh.link.adopted();
    mesh.start(agent.#stop.signal);
    await mesh.wishes.untilCurrent(firstNewsMs);
    await agent.#serve(mesh.wishes);
    agent.#hasStarted = true;
    return agent;
  }

  /** To the controller, or to one of this process. */
  async #connect(): Promise<MeshClient> {
    this.#access = await openControllerAccess(this.#config, this.#log, this.#onProblem, this.#stop.signal);
    this.#mesh = await MeshClient.create({
      config: this.#config,
      access: this.#access,
      pods: this.#pods,
      lastOptedIn: this.#lastOptedIn(),
      troubles: () => this.#troubles(),
      tellWorkers: (message) => {
        this.#workers.broadcast(message);
      },
      ...(this.#admin.useCredentials && { onOwnCredentials: this.#admin.useCredentials }),
      log: this.#log,
      onProblem: this.#onProblem,
    });
    return this.#mesh;
  }

  readonly #onProblem = (problem: WeftError): void => {
    logMeshProblem(this.#log, problem);
  };

  /** What the kernel has captured is this generation's now; the earlier ones are told to finish. */
  async #adopt(): Promise<void> {
    await this.#adoption.ofEarlierAgent();
    for (const folder of earlierGenerations(this.#config.runDir)) {
      Broker.drain(brokerPath(folder), drainGraceMs, this.#native);
      removeGeneration(folder);
    }
  }

  async #serve(wishes: PodWishes): Promise<void> {
    const { nodeName, netnsDir, runDir } = this.#config;
    const reconciler = new Reconciler({
      wishes,
      enrolment: this.#enrolment,
      pods: this.#pods,
      finder: new NetnsFinder(this.#native, netnsDir),
      native: this.#native,
      queue: this.#queue,
      beforeRelease: (pod) => this.#mesh?.link.leave(pod) ?? Promise.resolve(),
      onEvent: (event) => {
        this.#report(event);
      },
    });
    keepNamespacesFile(this.#namespacesFile, wishes);
    this.#reconciler = reconciler;
    reconciler.start(this.#stop.signal);
    this.#cni = new CniServer({
      path: join(runDir, 'cni.sock'),
      handler: new CniCalls(reconciler, this.#pods),
      log: this.#log,
    });
    await this.#cni.listen();
    for (const handOver of this.#handOvers) await handOver.listen();
    // From now on calls are answered, so the node's pods may start through the plugin.
    void this.#installer?.run(this.#stop.signal);
    if (this.#config.kubeletCgroup !== undefined) void followKubelet(this.#capture, this.#log, this.#stop.signal);
    this.#log.info({ node: nodeName, workers: this.#config.workers, adopted: this.#pods.values().length }, 'ready');
  }

  get #namespacesFile(): string {
    return join(this.#config.stateDir, 'namespaces.json');
  }

  /** As the plugin knew it while no agent was there; none where it knew nothing either. */
  #lastOptedIn(): readonly string[] {
    try {
      return readNamespacesFile(this.#namespacesFile);
    } catch {
      return [];
    }
  }

  /** Stops being main at once; workers and broker go on until a successor tells them to finish. */
  retire(): void {
    this.#stop.abort();
    this.#workers.abandon();
    this.#broker.close();
  }

  /**
   * Stops being main without ending: as process 1 of a container it would take its workers and broker along. Whoever asked for it adopts
   * the pods and tells the broker to drain; this process ends when it is told to.
   */
  async standAside(): Promise<void> {
    if (this.#isAside) return;
    this.#isAside = true;
    this.#log.info('another agent takes over');
    // Who ended by itself would be started again, and take over again.
    setInterval(() => undefined, longMs);
    this.#stop.abort();
    await this.#cni?.close();
    await this.#admin.close();
    await Promise.race([this.#queue.idle(), delay(settleMs, undefined, { ref: false })]);
    this.#workers.abandon();
    this.#broker.close();
    for (const handOver of this.#handOvers) handOver.close();
  }

  /**
   * Takes all pods of the node out of the mesh, as if nobody wanted them there; then workers finish, while they still hear what becomes of
   * other nodes' pods. Resolves when they have ended, or have had their time.
   */
  leave(): Promise<void> {
    return (this.#leaving ??= this.#leave());
  }

  async #leave(): Promise<void> {
    this.#log.info('Weft is being uninstalled: all pods leave the mesh');
    const deadline = performance.now() + leaveDeadlineMs;
    // All at once: each waits for whoever relies on it.
    await Promise.all(this.#pods.values().map((pod) => this.#mesh?.link.leave(pod) ?? Promise.resolve()));
    this.#mesh?.wishes.leave();
    while (this.#pods.values().length > 0 && performance.now() < deadline) await delay(leavePollMs);
    this.#workers.abandon();
    this.#broker.drain(drainGraceMs);
    const left = await this.#workers.ended(this.#config.stopTimeoutMs);
    if (left.length > 0) this.#log.warn({ workers: left }, 'open connections break as Weft is taken from the node');
    this.#enrolment.giveUpLeaving();
  }

  /** Its workers may have ended by now: whoever keeps the agent running starts it anew. */
  #onLeaveAbandoned(): void {
    if (this.#isAside || this.#stop.signal.aborted) return;
    this.#log.error('the uninstallation has ended before its time');
    process.exitCode = 1;
    process.kill(process.pid, 'SIGTERM');
  }

  /**
   * Finishes what is open. The pods stay captured: without an agent their new connections wait for the next one, so workers whose
   * connections may last without end go on alone after a while.
   */
  async shutdown(): Promise<void> {
    if (!this.#isAside) {
      this.#stop.abort();
      for (const handOver of this.#handOvers) handOver.close();
      await this.#cni?.close();
      await this.#admin.close();
      this.#workers.abandon();
      this.#broker.drain(0);
    }
    const { relay, stopTimeoutMs } = this.#config;
    const openMs = relay.drainTimeoutMs === 0 ? stopTimeoutMs : relay.drainTimeoutMs + drainMarginMs;
    const deadlineMs = this.#leaving === undefined ? openMs : 0; // then it has had its time
    // Where a successor has had them told, they wait for handshakes that were under way; a signal would end them before.
    const left = await (this.#isAside ? this.#workers.ended(deadlineMs) : this.#workers.stop(deadlineMs));
    if (left.length > 0) this.#log.warn({ workers: left }, 'workers with open connections go on alone');
    await this.#mesh?.ended();
    await this.#access?.close();
    this.#broker.close();
    removeGeneration(this.#generation);
  }

  #troubles(): Map<string, Trouble> {
    const troubles = this.#reconciler?.troubles ?? [];
    return new Map(troubles.map(({ uid, error }) => [uid, { code: error.code, message: explain(error) }]));
  }

  #status(): AgentStatus {
    const { isDirectoryConnected = false, directoryError, knowsMesh = false, identities } = this.#mesh?.status ?? {};
    return {
      hasStarted: this.#hasStarted,
      pods: this.#pods.values().length,
      workers: this.#workers.counts(),
      isDirectoryConnected,
      directoryError,
      knowsMesh,
      ...(this.#installer && { cni: this.#installer }),
      identities: identities ?? { isReady: false, identities: [], clockSkewMs: undefined, clockError: undefined },
    };
  }

  #greetings(): MessageToWorker[] {
    const leaving = this.#enrolment.leaving.map((pod): MessageToWorker => ({ type: 'pod-released', pod }));
    return [...(this.#mesh?.greetings() ?? []), ...leaving];
  }

  #describe(pod: EnrolledPod): MessageToWorker {
    if (this.#mesh === undefined) throw new Error('a pod is described before the mesh is known');
    return this.#mesh.link.describe(pod);
  }

  #onWorkerMessage(message: MessageToMain, worker: number): void {
    switch (message.type) {
      case 'proof':
        this.#proof.arrived(message.pod, message.direction);
        break;
      case 'connections':
        for (const connection of message.connections) this.#log.info(connection, 'connection');
        if (message.dropped > 0) this.#log.warn({ dropped: message.dropped }, 'connections not reported');
        break;
      case 'resolve':
        this.#mesh?.link.resolve(message.address, message.port);
        break;
      case 'credentials-refused': {
        const { identity, reason } = message;
        this.#onProblem(new WeftError('WEFT-E221', `a worker cannot use the certificate of ${identity}: ${reason}`));
        break;
      }
      case 'pod-drained':
        // Who stands aside has no broker any more; that one lets go of the pod when it ends.
        if (!this.#isAside) this.#enrolment.workerDrained(message.pod, worker);
    }
  }

  #report(event: PodEvent): void {
    if (event.type === 'enrolled') this.#mesh?.link.joined(event.pod);
    if (event.type === 'released') this.#mesh?.link.left(event.pod);
    logPodEvent(this.#log, event);
  }
}
