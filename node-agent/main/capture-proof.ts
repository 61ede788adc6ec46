import { openSync, closeSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';

import { formatAddress } from '../../mesh/address.ts';
import type { Capture } from '../../native/capture.d.ts';
import { WeftError } from '../../mesh/errors.ts';
import type { Broker } from './broker.ts';
import type { EnrolledPod } from './enrolled-pods.ts';
import type { Direction, MessageToWorker } from '../worker/messages.ts';

/** Address and port that are local nowhere: WEFT_PROOF_PREFIX_* and WEFT_PROOF_PORT of bpf/weft.h. */
const proofPort = 9;
const proofAddressV4 = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 169, 254, 117, 0);
const proofAddressV6 = Uint8Array.of(0xfd, 0x77, 0x65, 0x66, 0x74, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0);

const maximumAttempts = 3;

/** Resolves to what went wrong, or undefined where the connection was made. */
type Dial = () => Promise<string | undefined>;

export interface CaptureProofDependencies {
  readonly capture: Capture;
  /** The one that runs now. */
  readonly broker: () => Broker;
  readonly cgroup: string;
  readonly timeoutMs: number;
  readonly tellWorkers: (message: MessageToWorker) => void;
}

/**
 * Shows that a pod's traffic really arrives at the agent: one connection made in the pod's network namespace, outside the agent's
 * cgroup as an app is, and one made from the node to the pod must both be reported by a worker. Where they are not (a sandbox with a
 * network stack of its own, an eBPF data plane that translates addresses first) the pod must not be left half captured.
 */
export class CaptureProof {
  readonly #with: CaptureProofDependencies;
  readonly #waiting = new Map<string, () => void>();

  constructor(dependencies: CaptureProofDependencies) {
    this.#with = dependencies;
  }

  /** A worker accepted a proof's connection. */
  arrived(pod: number, direction: Direction): void {
    this.#waiting.get(`${pod} ${direction}`)?.();
  }

  /** Dials more than once: a pod whose proof fails leaves the mesh, which a busy node or one lost packet must not bring about. */
  async run(pod: EnrolledPod, listenerPort: number): Promise<WeftError | undefined> {
    this.#with.tellWorkers({ type: 'expect-proof', pod: pod.id });
    try {
      const outbound = await this.#attempt(pod, 'outbound', () => this.#dialFromPod(pod));
      if (outbound !== undefined) return this.#explainOutbound(pod, outbound);
      const inbound = await this.#attempt(pod, 'inbound', () => this.#dialPod(pod, listenerPort));
      return inbound === undefined
        ? undefined
        : new WeftError(
            'WEFT-E102',
            `a connection from the node to ${pod.namespace}/${pod.name} did not arrive: ${inbound}`,
          );
    } finally {
      this.#with.tellWorkers({ type: 'forget-proof', pod: pod.id });
    }
  }

  /** Resolves to what went wrong at last, or undefined once a worker has reported the connection. */
  async #attempt(pod: EnrolledPod, direction: Direction, dial: Dial): Promise<string | undefined> {
    let failure: string | undefined;
    for (let attempt = 0; attempt < maximumAttempts; attempt++) {
      failure = await this.#dialed(pod, direction, dial);
      if (failure === undefined) return undefined;
    }
    return failure;
  }

  async #dialed(pod: EnrolledPod, direction: Direction, dial: Dial): Promise<string | undefined> {
    const key = `${pod.id} ${direction}`;
    const { promise: arrival, resolve } = Promise.withResolvers<undefined>();
    this.#waiting.set(key, () => resolve(undefined));
    const timer = AbortSignal.timeout(this.#with.timeoutMs);
    const timedOut = new Promise<string>((giveUp) => {
      timer.addEventListener('abort', () => giveUp(`no worker saw it within ${this.#with.timeoutMs} ms`), {
        once: true,
      });
    });
    const dialing = dial().catch((error: unknown) => String(error));
    try {
      return await Promise.race([arrival, dialing.then((failure) => failure ?? arrival), timedOut]);
    } finally {
      this.#waiting.delete(key);
      await dialing; // a late answer must not be taken for that of the next attempt
    }
  }

  async #dialFromPod(pod: EnrolledPod): Promise<string | undefined> {
    const processes = openSync(join(this.#with.cgroup, 'cgroup.procs'), 'w');
    try {
      const destination = pod.ipv4 === undefined ? proofAddressV6 : proofAddressV4;
      const { error } = await this.#with
        .broker()
        .prove({ pod: pod.id, destination, port: proofPort, deadlineMs: this.#with.timeoutMs }, processes);
      return error === 0 ? undefined : `connect() failed with errno ${error}`;
    } finally {
      closeSync(processes);
    }
  }

  #dialPod(pod: EnrolledPod, port: number): Promise<string | undefined> {
    const address = pod.ipv4 ?? pod.ipv6;
    if (address === undefined) return Promise.resolve('it has no address');
    const { promise, resolve } = Promise.withResolvers<string | undefined>();
    const socket = connect({ host: formatAddress(address), port, timeout: this.#with.timeoutMs });
    socket.once('connect', () => {
      resolve(undefined);
    });
    socket.once('error', (error) => {
      resolve(error.message);
    });
    socket.once('timeout', () => {
      resolve('connect() timed out');
      socket.destroy();
    });
    socket.once('close', () => {
      resolve('it was closed');
    });
    return promise.finally(() => socket.destroySoon());
  }

  #explainOutbound(pod: EnrolledPod, failure: string): WeftError {
    const foreign = this.#with.capture.foreignPrograms();
    const what = `a connection from ${pod.namespace}/${pod.name} did not arrive: ${failure}`;
    if (foreign.length === 0) return new WeftError('WEFT-E101', what);
    const names = foreign.map(
      (program) => `${program.name} (${program.attachType}, id ${program.id}, on ${program.cgroup})`,
    );
    return new WeftError('WEFT-E103', `${what}; other programs translate addresses: ${names.join(', ')}`);
  }
}
