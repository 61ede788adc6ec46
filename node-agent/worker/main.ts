import { Socket } from 'node:net';

import { loadNativeAddon } from '../main/native.ts';
import { Channel, channelDescriptor } from './channel.ts';
import type { MessageToWorker, WorkerOptions } from './messages.ts';
import { dropPrivileges } from './privileges.ts';
import { Worker } from './worker.ts';

const options = JSON.parse(process.argv[2] ?? '') as WorkerOptions;
process.title = `weft-worker ${options.slot}`;
const native = loadNativeAddon();

native.forbidCoreDumps();
// Everything is loaded: from here on this process parses what strangers send and needs nothing but its sockets.
dropPrivileges(options.uid);

const worker = new Worker({
  options,
  createEngine: (engineOptions) => native.createEngine(engineOptions),
  metricsMemory: native.mapSharedMemory(options.metricsMemory),
  send: (message) => channel.send(message),
  exit: () => process.exit(0),
});
const channel = Channel.toMain(new Socket({ fd: channelDescriptor, readable: true, writable: true }), {
  onMessage: (message) => {
    worker.receive(message as MessageToWorker);
  },
  onEnd: () => undefined, // main is gone, which changes nothing here
});
process.on('SIGTERM', () => {
  worker.drain(0);
});
// A signal meant for main's terminal must not end what outlives main.
process.on('SIGINT', () => undefined);
process.on('SIGHUP', () => undefined);
