import { spawn } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';

import { WeftError } from '../../mesh/errors.ts';
import type { AgentConfig } from '../config.ts';
import type { AddPodMessage, BrokerAnswer, ProveMessage } from './broker-protocol.ts';
import * as protocol from './broker-protocol.ts';
import { brokerPath } from './layout.ts';
import type { BrokerConnection, NativeAddon } from './native.ts';

/** Where the build put it. */
const binary = process.env['WEFT_BROKER'] ?? new URL('../../build/weft-broker', import.meta.url).pathname;

const connectDeadlineMs = 3000;
const connectPollMs = 5;
const answerDeadlineMs = 5000;

export interface BrokerOptions {
  readonly binary: string;
  readonly path: string;
  readonly workerUid: number;
  readonly native: NativeAddon;
  readonly onLost: () => void;
}

interface Waiting {
  readonly resolve: (answer: BrokerAnswer) => void;
  readonly reject: (error: WeftError) => void;
}

/** Main's view of the netns broker. Calls about one pod must not overlap. */
export class Broker {
  readonly #connection: BrokerConnection;
  readonly #waiting = new Map<string, Waiting>();
  #lost = false;

  private constructor(options: BrokerOptions) {
    this.#connection = options.native.connectBroker(
      options.path,
      (message) => {
        this.#receive(message);
      },
      () => {
        this.#onClose(options.onLost);
      },
    );
    this.#connection.send(protocol.encodeHello(), -1);
  }

  /** Starts the process, which survives this one, and connects to it. @throws WeftError WEFT-E105 */
  static async spawn(options: BrokerOptions): Promise<Broker> {
    const child = spawn(options.binary, ['--socket', options.path, '--worker-uid', String(options.workerUid)], {
      stdio: ['ignore', 'ignore', 'inherit'],
      detached: true,
    });
    let failure: Error | undefined;
    child.once('error', (error) => {
      failure = error;
    });
    child.unref();
    const deadline = performance.now() + connectDeadlineMs;
    for (;;) {
      try {
        return new Broker(options);
      } catch (cause) {
        if (failure !== undefined || performance.now() > deadline) {
          throw new WeftError('WEFT-E105', `${options.binary} does not answer`, { cause: failure ?? cause });
        }
      }
      await delay(connectPollMs);
    }
  }

  /** Tells the broker of an earlier generation to finish. One that is gone needs no telling. */
  static drain(path: string, graceMs: number, native: NativeAddon): void {
    let connection: BrokerConnection;
    try {
      connection = native.connectBroker(path, ignore, ignore);
    } catch {
      return;
    }
    connection.send(protocol.encodeHello(), -1);
    connection.send(protocol.encodeDrain(graceMs), -1);
    connection.close();
  }

  setListenerMap(map: number): void {
    this.#connection.send(protocol.encodeSetListenerMap(), map);
  }

  /** Resolves to the port of the pod's listeners. @throws WeftError WEFT-E105 */
  async addPod(pod: AddPodMessage, netns: number): Promise<number> {
    const answer = await this.#ask(`pod-added ${pod.pod}`, protocol.encodeAddPod(pod), netns);
    if (answer.type !== 'pod-added' || answer.error !== 0) throw brokerError('cannot listen in the pod', answer);
    return answer.port;
  }

  removePod(pod: number): void {
    this.#connection.send(protocol.encodeRemovePod(pod), -1);
  }

  /** `error` is an errno, 0 where the handshake completed. */
  async prove(proof: ProveMessage, cgroupProcesses: number): Promise<{ error: number; sourcePort: number }> {
    const answer = await this.#ask(
      `proved ${proof.pod}`,
      protocol.encodeProve(proof),
      cgroupProcesses,
      proof.deadlineMs + 1000,
    );
    if (answer.type !== 'proved') throw brokerError('cannot dial from the pod', answer);
    return answer;
  }

  drain(graceMs: number): void {
    this.#connection.send(protocol.encodeDrain(graceMs), -1);
  }

  close(): void {
    this.#lost = true;
    this.#connection.close();
  }

  async #ask(key: string, message: Buffer, descriptor: number, deadlineMs = answerDeadlineMs): Promise<BrokerAnswer> {
    if (this.#lost) throw new WeftError('WEFT-E105', 'the broker is gone');
    const { promise, resolve, reject } = Promise.withResolvers<BrokerAnswer>();
    const timer = setTimeout(() => {
      reject(new WeftError('WEFT-E105', `the broker did not answer within ${deadlineMs} ms`));
    }, deadlineMs);
    this.#waiting.set(key, { resolve, reject });
    try {
      this.#connection.send(message, descriptor);
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(key);
    }
  }

  #receive(message: Buffer): void {
    const answer = protocol.decodeAnswer(message);
    if (answer !== undefined && 'pod' in answer) this.#waiting.get(`${answer.type} ${answer.pod}`)?.resolve(answer);
  }

  #onClose(onLost: () => void): void {
    if (this.#lost) return;
    this.#lost = true;
    for (const { reject } of this.#waiting.values()) reject(new WeftError('WEFT-E105', 'the broker ended'));
    onLost();
  }
}

function brokerError(what: string, answer: BrokerAnswer): WeftError {
  return new WeftError('WEFT-E105', `${what}: errno ${'error' in answer ? answer.error : 'unknown'}`);
}

function ignore(): void {
  return;
}

/** That of a generation, told which map its listeners belong into. @param listenersMap descriptor @throws WeftError WEFT-E105 */
export async function startBroker(
  config: Pick<AgentConfig, 'workerUid'>,
  native: NativeAddon,
  generation: string,
  listenersMap: number,
  onLost: () => void,
): Promise<Broker> {
  const { workerUid } = config;
  const broker = await Broker.spawn({ binary, path: brokerPath(generation), workerUid, native, onLost });
  broker.setListenerMap(listenersMap);
  return broker;
}
