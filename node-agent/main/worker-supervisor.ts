import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import type { Socket } from 'node:net';

import type { Logger } from '../log.ts';
import type { WorkerProcess } from '../metrics/worker-processes.ts';
import { Channel, channelDescriptor } from '../worker/channel.ts';
import type { MessageToMain, MessageToWorker, WorkerOptions } from '../worker/messages.ts';
import { readMessageToMain } from '../worker/messages.ts';
import { RestartBackoff } from './restart-backoff.ts';

const workerScript = process.env['WEFT_WORKER'] ?? new URL('../worker/main.ts', import.meta.url).pathname;

// After the standard ones and the channel.
const inheritedMap = 4;
const inheritedMetrics = 5;

export interface SupervisorOptions {
  readonly count: number;
  readonly worker: Omit<WorkerOptions, 'slot' | 'clientsMap' | 'metricsMemory'>;
  /** Descriptor of the clients map, which workers inherit; -1 where clients are not restored. */
  readonly clientsMap: number;
  /** Descriptors of the memory that each worker counts in, by slot; a successor counts on in it. */
  readonly metrics: readonly number[];
  /** What a successor must be told before anything else. */
  readonly greetings: () => readonly MessageToWorker[];
  readonly onMessage: (message: MessageToMain, worker: number) => void;
  readonly log: Logger;
  /** Script of a worker; tests give another. */
  readonly script?: string;
}

interface Slot {
  readonly number: number;
  child: ChildProcess | undefined;
  channel: Channel | undefined;
  startedAt: number;
  readonly backoff: RestartBackoff;
  restart: NodeJS.Timeout | undefined;
}

/** Keeps the workers running. They are children that survive: in a session of their own, so that main's end does not end them. */
export class WorkerSupervisor {
  readonly #options: SupervisorOptions;
  readonly #slots: Slot[];
  #stopped = false;
  #restarts = 0;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#slots = Array.from({ length: options.count }, (_, number) => ({
      number,
      child: undefined,
      channel: undefined,
      startedAt: 0,
      backoff: new RestartBackoff(),
      restart: undefined,
    }));
  }

  start(): void {
    for (const slot of this.#slots) this.#spawn(slot);
  }

  /** Of the workers that run. */
  pids(): number[] {
    return this.processes().map(({ pid }) => pid);
  }

  processes(): WorkerProcess[] {
    return this.#slots.flatMap(({ number, child }) =>
      child?.pid === undefined ? [] : { worker: number, pid: child.pid },
    );
  }

  counts(): { readonly wanted: number; readonly running: number; readonly restarts: number } {
    return { wanted: this.#slots.length, running: this.pids().length, restarts: this.#restarts };
  }

  broadcast(message: MessageToWorker): void {
    for (const { channel } of this.#slots) void channel?.send(message);
  }

  /** No more restarts; workers that are told so go on without this process. */
  abandon(): void {
    this.#stopped = true;
    for (const slot of this.#slots) clearTimeout(slot.restart);
  }

  /** Asks every worker to finish, and waits for them. */
  stop(deadlineMs: number): Promise<number[]> {
    this.abandon();
    const ended = this.ended(deadlineMs);
    for (const { child } of this.#slots) child?.kill('SIGTERM');
    return ended;
  }

  /** Resolves when all workers are gone, at the deadline at the latest, to those that go on by themselves. */
  async ended(deadlineMs: number): Promise<number[]> {
    const ends = this.#slots.map(({ child }) => {
      if (child === undefined) return Promise.resolve();
      return new Promise<void>((resolve) => child.once('exit', () => resolve()));
    });
    const { promise: deadline, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, deadlineMs);
    await Promise.race([Promise.all(ends), deadline]);
    clearTimeout(timer);
    return this.pids();
  }

  #spawn(slot: Slot): void {
    const { worker, clientsMap, metrics, greetings, script } = this.#options;
    const options: WorkerOptions = {
      ...worker,
      slot: slot.number,
      clientsMap: clientsMap < 0 ? -1 : inheritedMap,
      metricsMemory: inheritedMetrics,
    };
    const path = script ?? workerScript;
    const child = spawn(process.execPath, [path, JSON.stringify(options)], {
      stdio: [
        'ignore',
        'inherit',
        'inherit',
        'pipe',
        clientsMap < 0 ? 'ignore' : clientsMap,
        metrics[slot.number] ?? 'ignore',
      ],
      detached: true,
    });
    slot.startedAt = performance.now();
    // A process that was never made does not exit.
    child.on('error', (error) => {
      if (child.pid === undefined) this.#onEnd(slot, { error });
      else this.#options.log.error({ error, worker: slot.number }, 'worker could not be reached');
    });
    if (child.pid === undefined) return;
    slot.child = child;
    child.once('exit', (code, signal) => {
      this.#onEnd(slot, { code, signal });
    });
    slot.channel = Channel.toWorker(child.stdio[channelDescriptor] as Socket, {
      onMessage: (message) => {
        this.#onMessage(slot, message);
      },
      onEnd: (error) => {
        if (error === undefined) return;
        this.#options.log.error({ error, worker: slot.number }, 'worker broke the channel; it is replaced');
        child.kill('SIGKILL');
      },
    });
    for (const message of greetings()) void slot.channel.send(message);
  }

  #onMessage(slot: Slot, message: unknown): void {
    const read = readMessageToMain(message);
    if (read === undefined)
      this.#options.log.warn({ worker: slot.number }, 'worker sent a message that makes no sense');
    else this.#options.onMessage(read, slot.number);
  }

  #onEnd(slot: Slot, how: object): void {
    slot.child = undefined;
    slot.channel = undefined;
    if (this.#stopped) return;
    const restartInMs = slot.backoff.next(performance.now() - slot.startedAt);
    this.#restarts++;
    this.#options.log.error({ worker: slot.number, ...how, restartInMs: Math.round(restartInMs) }, 'worker ended');
    slot.restart = setTimeout(() => {
      this.#spawn(slot);
    }, restartInMs);
  }
}
