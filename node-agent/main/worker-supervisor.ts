import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';

import type { Logger } from '../log.ts';
import type { MessageToMain, MessageToWorker, WorkerOptions } from '../worker/messages.ts';

const quickDeathMs = 5000;
const firstBackoffMs = 50;
const maximumBackoffMs = 2000;
const inheritedMapDescriptor = 4;

export interface SupervisorOptions {
  readonly count: number;
  readonly worker: Omit<WorkerOptions, 'slot' | 'clientsMap'>;
  readonly clientsMap: number;
  /** What a successor must be told before anything else. */
  readonly greetings: () => readonly MessageToWorker[];
  readonly onMessage: (message: MessageToMain) => void;
  readonly log: Logger;
  /** Script of a worker; tests give another. */
  readonly script?: string;
}

interface Slot {
  readonly number: number;
  child: ChildProcess | undefined;
  startedAt: number;
  backoffMs: number;
  restart: NodeJS.Timeout | undefined;
}

/** Keeps the workers running. They are children that survive: in a session of their own, so that main's end does not end them. */
export class WorkerSupervisor {
  readonly #options: SupervisorOptions;
  readonly #slots: Slot[];
  #stopped = false;
  restarts = 0;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#slots = Array.from({ length: options.count }, (_, number) => ({
      number,
      child: undefined,
      startedAt: 0,
      backoffMs: 0,
      restart: undefined,
    }));
  }

  start(): void {
    for (const slot of this.#slots) this.#spawn(slot);
  }

  pids(): number[] {
    return this.#slots.flatMap(({ child }) => (child?.pid === undefined ? [] : [child.pid]));
  }

  broadcast(message: MessageToWorker): void {
    for (const { child } of this.#slots) if (child?.connected === true) child.send(message, ignoreGone);
  }

  /** No more restarts; workers that are told so go on without this process. */
  abandon(): void {
    this.#stopped = true;
    for (const slot of this.#slots) clearTimeout(slot.restart);
  }

  /** Asks every worker to finish and resolves when all are gone. */
  async stop(): Promise<void> {
    this.abandon();
    const ends = this.#slots.map(({ child }) => {
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
      const end = new Promise<void>((resolve) => child.once('exit', () => resolve()));
      child.kill('SIGTERM');
      return end;
    });
    await Promise.all(ends);
  }

  #spawn(slot: Slot): void {
    const { worker, clientsMap, greetings, onMessage, log, script } = this.#options;
    const options: WorkerOptions = { ...worker, slot: slot.number, clientsMap: inheritedMapDescriptor };
    const path = script ?? new URL('../worker/main.ts', import.meta.url).pathname;
    const child = spawn(process.execPath, [path, JSON.stringify(options)], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc', clientsMap],
      serialization: 'advanced',
      detached: true,
    });
    slot.child = child;
    slot.startedAt = performance.now();
    child.on('message', (message) => {
      onMessage(message as MessageToMain);
    });
    child.on('error', (error) => {
      log.error({ error, worker: slot.number }, 'worker could not be reached');
    });
    child.once('exit', (code, signal) => {
      this.#onExit(slot, code, signal);
    });
    for (const message of greetings()) child.send(message, ignoreGone);
  }

  #onExit(slot: Slot, code: number | null, signal: NodeJS.Signals | null): void {
    if (this.#stopped) return;
    const livedMs = performance.now() - slot.startedAt;
    const wait = livedMs < quickDeathMs ? slot.backoffMs * (0.5 + Math.random() / 2) : 0;
    slot.backoffMs = livedMs < quickDeathMs ? Math.min(Math.max(2 * slot.backoffMs, firstBackoffMs), maximumBackoffMs) : 0;
    this.restarts++;
    this.#options.log.error({ worker: slot.number, code, signal, restartInMs: Math.round(wait) }, 'worker ended');
    slot.restart = setTimeout(() => {
      this.#spawn(slot);
    }, wait);
  }
}

/** A worker that is gone gets the greetings anew with its successor. */
function ignoreGone(): void {
  return;
}
