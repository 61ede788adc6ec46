import { loadNativeAddon } from '../main/native.ts';
import type { MessageToWorker, SendToMain, WorkerOptions } from './messages.ts';
import { dropPrivileges } from './privileges.ts';
import { Worker } from './worker.ts';

const options = JSON.parse(process.argv[2] ?? '') as WorkerOptions;
process.title = `weft-worker ${options.slot}`;
const native = loadNativeAddon();

native.forbidCoreDumps();
// Everything is loaded: from here on this process parses what strangers send and needs nothing but its sockets.
dropPrivileges(options.uid);

/** Where main is gone the answer is false: Node calls back with an error, or is not called at all. */
const send: SendToMain = (message) => {
  if (!process.connected || process.send === undefined) return Promise.resolve(false);
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const onGone = (): void => resolve(false);
  process.once('disconnect', onGone);
  process.send(message, undefined, undefined, (error: Error | null) => resolve(error === null));
  return promise.finally(() => process.off('disconnect', onGone));
};

const worker = new Worker({
  options,
  createEngine: (engineOptions) => native.createEngine(engineOptions),
  metricsMemory: native.mapSharedMemory(options.metricsMemory),
  send,
  exit: () => process.exit(0),
});
process.on('message', (message) => {
  worker.receive(message as MessageToWorker);
});
process.on('SIGTERM', () => {
  worker.drain(0);
});
// A signal meant for main's terminal must not end what outlives main.
process.on('SIGINT', () => undefined);
process.on('SIGHUP', () => undefined);
