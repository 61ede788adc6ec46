import { createRequire } from 'node:module';

import type { Capture, CaptureOptions } from '../../native/capture.d.ts';
import type { Engine, EngineOptions } from '../../native/engine.d.ts';

export interface BrokerConnection {
  /** `descriptor`: one to pass along, or -1. Throws when the socket cannot take the message. */
  send(message: Buffer, descriptor: number): void;
  close(): void;
}

/** What the addon exports. native/*.d.ts say what each call promises. */
export interface NativeAddon {
  openCapture(options: CaptureOptions): Capture;
  uninstallCapture(pinDir: string): void;
  netnsCookie(netns: number): bigint;
  openNetns(path: string): number;
  netnsAddresses(netns: number): Uint8Array[];
  closeDescriptor(descriptor: number): void;
  connectBroker(path: string, onMessage: (message: Buffer) => void, onClose: () => void): BrokerConnection;
  createEngine(options: EngineOptions): Engine;
  /** Of this process, which holds private keys. */
  forbidCoreDumps(): void;
  /** Each gets the other's name, at once: renameat2(2). */
  exchangeFiles(one: string, other: string): void;
  /** @returns a descriptor of memory that a child can inherit */
  createSharedMemory(bytes: number): number;
  mapSharedMemory(descriptor: number): ArrayBuffer;
}

/** WEFT_ADDON names another build of the addon: tests run the agent with the sanitizers' or with a later version's. */
export function loadNativeAddon(): NativeAddon {
  const path = process.env['WEFT_ADDON'] ?? new URL('../../build/Release/weft.node', import.meta.url).pathname;
  return createRequire(import.meta.url)(path) as NativeAddon;
}
