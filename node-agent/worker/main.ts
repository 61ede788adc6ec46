import { readFileSync } from 'node:fs';

import { loadNativeAddon } from '../main/native.ts';
import type { MessageToWorker, WorkerOptions } from './messages.ts';
import { Worker } from './worker.ts';

const options = JSON.parse(process.argv[2] ?? '') as WorkerOptions;
const native = loadNativeAddon();

// Everything is loaded: from here on this process parses what strangers send and needs nothing but its sockets.
process.setgroups?.([]);
process.setgid?.(options.uid);
process.setuid?.(options.uid);
const capabilities = /^CapEff:\s*(\S+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
if (capabilities === undefined || BigInt(`0x${capabilities}`) !== 0n) {
  throw new Error(`worker ${options.slot} could not give up its capabilities: ${capabilities ?? 'unknown'}`);
}

const worker = new Worker({
  options,
  createEngine: (engineOptions) => native.createEngine(engineOptions),
  send: (message) => process.connected && (process.send?.(message) ?? false),
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
